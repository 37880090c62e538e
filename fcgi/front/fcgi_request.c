/* fcgi_request.c - run libfcgi with buffers in place of a connection. */
/* SPDX-License-Identifier: MIT */
#include "front/fcgi_request.h"

#include <fastcgi.h>
#include <fcgiapp.h>
#include <fcgios.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/span.h"

/* The number that libfcgi uses as the connection's descriptor.  It is not a valid descriptor, so
 * that a system call that bypasses OS_Read and OS_Write fails. */
#define NO_DESCRIPTOR INT32_MAX

#define PIECES 3

struct fcgi_request {
    FCGX_Request libfcgi;
};

/* The current input and output of libfcgi.  Used by one thread, and only within the calls below. */
static struct io {
    struct span piece[PIECES]; /* what is left of the head */
    size_t piece_count;        /* if 0, OS_Read reads from the descriptor, as libfcgi's own does */
    fcgi_write *write;         /* if NULL, OS_Write writes to the descriptor */
    void *context;
} io;
static const struct io nothing;

static const char *web_servers; /* FCGI_WEB_SERVER_ADDRS; NULL: all are accepted */

/* ---- Replacements for libfcgi's own functions ---- */

int OS_Read(int fd, char *buffer, size_t len)
{
    size_t done = 0;

    if (io.piece_count == 0)
        return (int)read(fd, buffer, len);
    for (size_t i = 0; i < io.piece_count; i++) {
        struct span *piece = &io.piece[i];
        size_t count = piece->len < len - done ? piece->len : len - done;
        if (count > 0)
            memcpy(buffer + done, piece->text, count);
        piece->text += count;
        piece->len -= count;
        done += count;
    }
    return (int)done;
}

int OS_Write(int fd, char *buffer, size_t len)
{
    if (!io.write)
        return (int)write(fd, buffer, len);
    io.write(io.context, buffer, len);
    return (int)len;
}

/* ---- Requests ---- */

/* Let libfcgi read HEAD.  The head is written again in one fixed form: one record of each type,
 * without padding. */
static bool read_head(FCGX_Request *libfcgi, const struct fcgi_head *head)
{
    unsigned char front[FCGI_HEADER_LEN + sizeof(FCGI_BeginRequestBody) + FCGI_HEADER_LEN] = {0};
    unsigned char back[FCGI_HEADER_LEN];
    unsigned char *body = front + FCGI_HEADER_LEN;
    /* if there are none, FRONT has the final empty record already */
    bool has_params = head->params_len > 0;

    fcgi_head_write_header(front, FCGI_BEGIN_REQUEST, head->id, sizeof(FCGI_BeginRequestBody));
    body[1] = (unsigned char)head->role;
    body[2] = head->keep ? FCGI_KEEP_CONN : 0;
    fcgi_head_write_header(body + sizeof(FCGI_BeginRequestBody), FCGI_PARAMS, head->id,
                           head->params_len);
    fcgi_head_write_header(back, FCGI_PARAMS, head->id, 0);
    io.piece[0] = (struct span){(const char *)front, sizeof front};
    io.piece[1] = (struct span){(const char *)head->params, head->params_len};
    io.piece[2] = (struct span){(const char *)back, sizeof back};
    io.piece_count = has_params ? 3 : 1;
    bool read = FCGX_Accept_r(libfcgi) == 0;
    io = nothing;
    return read;
}

/* A request without a connection or a listening socket: if libfcgi cannot read the head, it fails
 * instead of accepting a connection. */
static struct fcgi_request *request_new(void)
{
    struct fcgi_request *request = memory_get(sizeof *request);

    FCGX_InitRequest(&request->libfcgi, -1, FCGI_FAIL_ACCEPT_ON_INTR);
    request->libfcgi.ipcFd = NO_DESCRIPTOR;
    /* otherwise FCGX_Accept_r closes the descriptor before it reads */
    request->libfcgi.keepConnection = true;
    return request;
}

struct fcgi_request *fcgi_request_read(const struct fcgi_head *head, struct request *out)
{
    struct fcgi_request *request = request_new();
    FCGX_Request *libfcgi = &request->libfcgi;

    if (!read_head(libfcgi, head)) {
        free(request);
        return NULL;
    }
    /* Free the input buffer of 8 KB now, because thousands of requests may wait for Redis at
     * once. */
    FCGX_FreeStream(&libfcgi->in);
    *out = (struct request){
        .method = FCGX_GetParam("REQUEST_METHOD", libfcgi->envp),
        .uri = FCGX_GetParam("REQUEST_URI", libfcgi->envp),
        .remote_addr = FCGX_GetParam("REMOTE_ADDR", libfcgi->envp),
        .parameters = libfcgi->envp,
        .defect = head->defect,
        .authorizer = libfcgi->role == FCGI_AUTHORIZER,
    };
    return request;
}

void fcgi_request_reply(struct fcgi_request *request, const char *text, size_t len,
                        fcgi_write *write, void *context)
{
    FCGX_Request *libfcgi = &request->libfcgi;

    io.write = write;
    io.context = context;
    FCGX_PutStr(text, (int)len, libfcgi->out);
    /* Do what FCGX_Finish_r does, which cannot be used because it needs the input stream, freed
     * above. */
    FCGX_FClose(libfcgi->err);
    FCGX_FClose(libfcgi->out);
    io = nothing;
    fcgi_request_free(request);
}

void fcgi_request_free(struct fcgi_request *request)
{
    if (!request)
        return;
    FCGX_Free(&request->libfcgi, 0);
    free(request);
}

int fcgi_request_accept(int listen_fd, bool is_unix)
{
    /* On a unix socket, libfcgi's accept would wait for the first byte. */
    if (is_unix)
        return accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
    return OS_Accept(listen_fd, true, web_servers);
}

/* ---- The check at start-up ---- */

static void count_bytes(void *context, const char *text, size_t len)
{
    (void)text;
    *(size_t *)context += len;
}

const char *fcgi_request_init(void)
{
    struct fcgi_head head = {.id = 1, .role = FCGI_RESPONDER, .keep = true};
    struct request unused;
    size_t written = 0;

    web_servers = getenv("FCGI_WEB_SERVER_ADDRS");
    if (FCGX_Init() != 0)
        return "libfcgi cannot be initialised";
    struct fcgi_request *request = fcgi_request_read(&head, &unused);
    if (!request)
        return "libfcgi does not read through this program's OS_Read; link with a libfcgi.so that "
               "was built without -Bsymbolic-functions";
    fcgi_request_reply(request, "Status: 200 OK\r\n\r\n", 18, count_bytes, &written);
    if (written == 0)
        return "libfcgi does not write through this program's OS_Write; link with a libfcgi.so "
               "that was built without -Bsymbolic-functions";
    return NULL;
}
