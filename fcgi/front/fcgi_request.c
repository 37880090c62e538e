/* fcgi_request.c - libfcgi between two buffers. */
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

/* What libfcgi takes for the descriptor of the connection.  It is none: should a call of the
 * operating system that is not ours get it, the call fails. */
#define NO_DESCRIPTOR INT32_MAX

#define PIECES 3

struct fcgi_request {
    FCGX_Request libfcgi;
};

/* What libfcgi reads and writes now.  One thread uses it, and only within the calls below. */
static struct io {
    struct span piece[PIECES]; /* the bytes of the head that are left */
    size_t piece_count;        /* 0: libfcgi reads from a descriptor, as without us */
    fcgi_write *write;         /* NULL: it writes to one */
    void *context;
} io;
static const struct io nothing;

static const char *web_servers; /* FCGI_WEB_SERVER_ADDRS; NULL: all are accepted */

/* ---- In the place of libfcgi's own ---- */

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

/* Read HEAD as libfcgi does.  It is written anew, in the form that has no variants: one record of
 * each kind, without padding. */
static bool read_head(FCGX_Request *libfcgi, const struct fcgi_head *head)
{
    unsigned char front[FCGI_HEADER_LEN + sizeof(FCGI_BeginRequestBody) + FCGI_HEADER_LEN] = {0};
    unsigned char back[FCGI_HEADER_LEN];
    unsigned char *body = front + FCGI_HEADER_LEN;
    bool has_params = head->params_len > 0; /* or FRONT would hold the empty record already */

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

/* A request of libfcgi's that has neither a connection nor a socket to accept one from: if it
 * cannot read the head, it fails. */
static struct fcgi_request *request_new(void)
{
    struct fcgi_request *request = memory_get(sizeof *request);

    FCGX_InitRequest(&request->libfcgi, -1, FCGI_FAIL_ACCEPT_ON_INTR);
    request->libfcgi.ipcFd = NO_DESCRIPTOR;
    request->libfcgi.keepConnection = true; /* or FCGX_Accept_r closes it before it reads */
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
    /* Its buffer of 8 KB is not needed while Redis is asked: thousands of requests may be. */
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
    /* As FCGX_Finish_r does, which needs the stream that is freed already. */
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
    /* libfcgi would wait for the first byte of a unix socket. */
    if (is_unix)
        return accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
    return OS_Accept(listen_fd, true, web_servers);
}

/* ---- The check at start ---- */

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
