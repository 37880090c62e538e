/* echo.c - a FastCGI application behind the limiter: it answers with what it was sent.
 *
 * The body of the response is that of the request or, if that is empty, the FastCGI parameters, one
 * per line.  The headers are X-Method, X-Uri, X-Query, X-Test (the request's header of that name)
 * and X-Length (bytes of the body).  A request with the header X-Own-Limits is answered with the
 * application's own limits: RateLimit, RateLimit-Policy and X-RateLimit-Limit, -Remaining and
 * -Reset.  If ECHO_LOG is set, each request is logged to that file as a line "METHOD URI".  It has
 * one thread, which serves one request at a time from the listening socket on standard input. */
/* SPDX-License-Identifier: MIT */
#include <fcgiapp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX (16 * 1024 * 1024)

static const char *parameter(const FCGX_Request *request, const char *name)
{
    const char *value = FCGX_GetParam(name, request->envp);

    return value ? value : "";
}

static void log_request(const FCGX_Request *request)
{
    const char *path = getenv("ECHO_LOG");
    FILE *log = path ? fopen(path, "a") : NULL;

    if (!log)
        return;
    fprintf(log, "%s %s\n", parameter(request, "REQUEST_METHOD"),
            parameter(request, "REQUEST_URI"));
    fclose(log);
}

static void answer(FCGX_Request *request, char *body)
{
    int len = FCGX_GetStr(body, BODY_MAX, request->in);

    FCGX_FPrintF(request->out, "Content-Type: text/plain\r\nX-Length: %d\r\n", len);
    if (FCGX_GetParam("HTTP_X_OWN_LIMITS", request->envp))
        FCGX_PutS("RateLimit: \"own\";r=99\r\nRateLimit-Policy: \"own\";q=99\r\n"
                  "X-RateLimit-Limit: 99\r\nX-RateLimit-Remaining: 98\r\n"
                  "X-RateLimit-Reset: 97\r\n",
                  request->out);
    FCGX_FPrintF(request->out, "X-Method: %s\r\n", parameter(request, "REQUEST_METHOD"));
    FCGX_FPrintF(request->out, "X-Uri: %s\r\n", parameter(request, "REQUEST_URI"));
    FCGX_FPrintF(request->out, "X-Query: %s\r\n", parameter(request, "QUERY_STRING"));
    FCGX_FPrintF(request->out, "X-Test: %s\r\n\r\n", parameter(request, "HTTP_X_TEST"));
    FCGX_PutStr(body, len, request->out);
    for (char **line = request->envp; len == 0 && *line; line++) {
        FCGX_PutS(*line, request->out);
        FCGX_PutS("\n", request->out);
    }
}

int main(void)
{
    static char body[BODY_MAX];
    FCGX_Request request;

    if (FCGX_Init() != 0 || FCGX_InitRequest(&request, 0, 0) != 0)
        return EXIT_FAILURE;
    while (FCGX_Accept_r(&request) == 0) {
        log_request(&request);
        answer(&request, body);
        FCGX_Finish_r(&request);
    }
    return EXIT_SUCCESS;
}
