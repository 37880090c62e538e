/* fcgi_client.c - the records of the FastCGI specification, 1.0, that a request needs. */
/* SPDX-License-Identifier: MIT */
#include "fcgi_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BEGIN = 1, END = 3, PARAMS = 4, STDIN = 5, STDOUT = 6, HEAD_SIZE = 8 };

int fcgi_client_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static unsigned char *put_head(unsigned char *out, unsigned char type, size_t len)
{
    const unsigned char head[HEAD_SIZE] = {
        1, type, 0, 1, (unsigned char)(len >> 8), (unsigned char)len};

    memcpy(out, head, sizeof head);
    return out + sizeof head;
}

/* Names and values are shorter than 128 bytes. */
static unsigned char *put_pair(unsigned char *out, const char *name, const char *value)
{
    size_t name_len = strlen(name), value_len = strlen(value);

    *out++ = (unsigned char)name_len;
    *out++ = (unsigned char)value_len;
    memcpy(out, name, name_len);
    memcpy(out + name_len, value, value_len);
    return out + name_len + value_len;
}

bool fcgi_client_send(int fd, const char *path, const char *query, const char *name,
                      const char *value)
{
    unsigned char text[1024], *out = put_head(text, BEGIN, 8), *params;
    char uri[120];

    memcpy(out, "\0\1\1\0\0\0\0\0", 8); /* a responder; keep the connection */
    params = out + 8;
    out = params + HEAD_SIZE;
    snprintf(uri, sizeof uri, "%s?%s", path, query);
    out = put_pair(out, "REQUEST_METHOD", "GET");
    out = put_pair(out, "REQUEST_URI", uri);
    out = put_pair(out, "QUERY_STRING", query);
    out = put_pair(out, "REMOTE_ADDR", "127.0.0.1");
    if (name)
        out = put_pair(out, name, value);
    put_head(params, PARAMS, (size_t)(out - params) - HEAD_SIZE);
    out = put_head(out, PARAMS, 0);
    out = put_head(out, STDIN, 0);
    return send(fd, text, (size_t)(out - text), MSG_NOSIGNAL) == out - text;
}

/* Take the first record out of ANSWER's input.  Returns false if it is not whole. */
static bool take_record(struct fcgi_answer *answer)
{
    const unsigned char *input = answer->input;

    if (answer->input_len < HEAD_SIZE)
        return false;
    size_t len = (size_t)input[4] << 8 | input[5], whole = HEAD_SIZE + len + input[6];
    if (answer->input_len < whole)
        return false;
    if (input[1] == STDOUT && answer->len + len < sizeof answer->text) {
        memcpy(answer->text + answer->len, input + HEAD_SIZE, len);
        answer->len += len;
        answer->text[answer->len] = '\0';
    }
    answer->whole |= input[1] == END;
    answer->input_len -= whole;
    memmove(answer->input, input + whole, answer->input_len);
    return true;
}

bool fcgi_client_read(int fd, struct fcgi_answer *answer)
{
    ssize_t got =
        recv(fd, answer->input + answer->input_len, sizeof answer->input - answer->input_len, 0);

    if (got <= 0)
        return got < 0 && (errno == EAGAIN || errno == EINTR);
    answer->input_len += (size_t)got;
    while (take_record(answer))
        ;
    return true;
}
