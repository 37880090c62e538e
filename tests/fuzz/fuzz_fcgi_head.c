/* fuzz_fcgi_head.c - pieces of any size are parsed alike, and a head is read as by libfcgi
 * itself */
/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <fcgiapp.h>
#include <fastcgi.h>
#include <sys/mman.h>
#include <unistd.h>

#include "front/fcgi_head.h"
#include "front/fcgi_request.h"

#define EVENTS_MAX 64

/* The result of parsing a connection: all events, and the parameters of each request. */
struct reading {
    size_t count;
    struct {
        enum fcgi_event event;
        unsigned id, type, values, role;
        bool keep;
        enum request_defect defect;
        struct bytes params;
    } event[EVENTS_MAX];
};

static void record_event(struct reading *reading, const struct fcgi_head *head,
                         enum fcgi_event event)
{
    size_t i = reading->count++;
    bool request = event == FCGI_EVENT_REQUEST;
    bool begins = event == FCGI_EVENT_UNKNOWN_ROLE || event == FCGI_EVENT_SECOND_REQUEST ||
                  event == FCGI_EVENT_ABORTED;

    reading->event[i].event = event;
    reading->event[i].id = request ? head->id : begins ? head->event_id : 0;
    reading->event[i].type = event == FCGI_EVENT_UNKNOWN_TYPE ? head->event_type : 0;
    reading->event[i].values = event == FCGI_EVENT_GET_VALUES ? head->values : 0;
    reading->event[i].role = request ? head->role : 0;
    reading->event[i].keep = request ? head->keep : begins ? head->event_keep : false;
    reading->event[i].defect = request ? head->defect : REQUEST_FINE;
    reading->event[i].params = (struct bytes){NULL, 0};
    if (request) {
        reading->event[i].params = (struct bytes){malloc(head->params_len + 1), head->params_len};
        memcpy(reading->event[i].params.text, head->params, head->params_len);
    }
}

/* Read the SIZE bytes at DATA in pieces of PIECE bytes. */
static struct reading read_pieces(const uint8_t *data, size_t size, size_t piece)
{
    static unsigned char params[FCGI_HEAD_SIZE];
    struct fcgi_head head = {.params = params};
    struct reading reading = {0};

    for (size_t at = 0; at < size; at += piece) {
        /* Exactly as long as the piece, so that sanitizers detect a read beyond it. */
        char *copy = malloc(piece);
        struct span bytes = {copy, size - at < piece ? size - at : piece};
        enum fcgi_event event = FCGI_EVENT_REQUEST;
        memcpy(copy, data + at, bytes.len);
        while (event != FCGI_EVENT_MORE && event != FCGI_EVENT_BROKEN &&
               reading.count < EVENTS_MAX) {
            event = fcgi_head_read(&head, &bytes);
            if (event != FCGI_EVENT_MORE)
                record_event(&reading, &head, event);
            if (event == FCGI_EVENT_REQUEST && head.id % 2)
                fcgi_head_answered(&head); /* the requests with an even id are never answered */
        }
        free(copy);
        if (event == FCGI_EVENT_BROKEN || reading.count == EVENTS_MAX)
            break;
        must(bytes.len == 0, "all bytes are read");
    }
    return reading;
}

static void free_reading(struct reading *reading)
{
    for (size_t i = 0; i < reading->count; i++)
        free(reading->event[i].params.text);
}

static bool same_reading(const struct reading *one, const struct reading *other)
{
    for (size_t i = 0; i < one->count && i < other->count; i++)
        if (one->event[i].event != other->event[i].event ||
            one->event[i].id != other->event[i].id || one->event[i].type != other->event[i].type ||
            one->event[i].values != other->event[i].values ||
            one->event[i].role != other->event[i].role ||
            one->event[i].keep != other->event[i].keep ||
            one->event[i].defect != other->event[i].defect ||
            !same_bytes(one->event[i].params, other->event[i].params))
            return false;
    return one->count == other->count;
}

/* Whether all records at DATA, from FCGI_BEGIN_REQUEST to the empty FCGI_PARAMS, belong to the
 * request ID.  Otherwise libfcgi cannot be compared: it skips a record of another request, and if
 * that record is empty, it skips the content of the next record instead. */
static bool has_no_other_records(const uint8_t *data, unsigned id)
{
    if (data[1] != FCGI_BEGIN_REQUEST)
        return false;
    for (;;) {
        size_t content = (size_t)data[4] << 8 | data[5];
        if (((unsigned)data[2] << 8 | data[3]) != id)
            return false;
        if (data[1] == FCGI_PARAMS && content == 0)
            return true;
        data += FCGI_HEADER_LEN + content + data[6];
    }
}

/* The SIZE bytes at DATA, of which the first event is a head, are read by libfcgi alone, from a
 * file; and the head by our own way through libfcgi.  Both find the same. */
static void same_as_libfcgi(const struct reading *reading, const uint8_t *data, size_t size)
{
    struct fcgi_head head = {.params = (unsigned char *)reading->event[0].params.text,
                             .params_len = reading->event[0].params.len,
                             .id = reading->event[0].id,
                             .role = reading->event[0].role,
                             .keep = reading->event[0].keep};
    struct request request;
    struct fcgi_request *ours = fcgi_request_read(&head, &request);
    FCGX_Request raw;
    char *const *parameter;
    int file = memfd_create("connection", 0);

    must(ours != NULL, "libfcgi reads what is complete");
    must(file >= 0 && write(file, data, size) == (ssize_t)size && lseek(file, 0, SEEK_SET) == 0,
         "there is memory");
    FCGX_InitRequest(&raw, -1, FCGI_FAIL_ACCEPT_ON_INTR);
    raw.ipcFd = file;
    raw.keepConnection = 1;
    must(FCGX_Accept_r(&raw) == 0, "libfcgi reads it by itself, too");
    must(raw.requestId == (int)head.id && raw.role == (int)head.role &&
             !raw.keepConnection == !head.keep,
         "the request is the same");
    parameter = raw.envp;
    for (char *const *own = request.parameters; *own; own++, parameter++)
        must(*parameter && strcmp(*own, *parameter) == 0, "and so is each parameter");
    must(*parameter == NULL, "and there are as many");
    FCGX_Free(&raw, 1);
    fcgi_request_free(ours);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool initialised;
    size_t piece = size > 0 ? 1 + data[size - 1] % 40 : 1;

    if (!initialised)
        must(fcgi_request_init() == NULL, "libfcgi reads and writes through us");
    initialised = true;
    struct reading whole = read_pieces(data, size, size > 0 ? size : 1);
    struct reading pieces = read_pieces(data, size, piece);
    must(same_reading(&whole, &pieces), "pieces of any size are read alike");
    if (whole.count > 0 && whole.event[0].event == FCGI_EVENT_REQUEST &&
        whole.event[0].defect == REQUEST_FINE && has_no_other_records(data, whole.event[0].id))
        same_as_libfcgi(&whole, data, size);
    free_reading(&whole);
    free_reading(&pieces);
    return 0;
}
