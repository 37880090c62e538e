#include "query.h"

#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

/* Cut *REST at the first SEPARATOR: what stands before it is returned, what stands after it stays
 * in *REST, which has text NULL where there was no SEPARATOR. */
static struct span cut(struct span *rest, char separator)
{
    struct span head = *rest;
    const char *end = head.len ? memchr(head.text, separator, head.len) : NULL;

    if (!end) {
        *rest = (struct span){NULL, 0};
        return head;
    }
    head.len = (size_t)(end - head.text);
    rest->text = end + 1;
    rest->len -= head.len + 1;
    return head;
}

static bool is_named(struct span encoded, const char *name)
{
    for (; *name != '\0'; name++)
        if (query_next_byte(&encoded) != (unsigned char)*name)
            return false;
    /* Not "the next byte is NUL": "user%00" is another name than "user". */
    return encoded.len == 0;
}

struct span query_find(const char *uri, const char *name)
{
    size_t path_len = strcspn(uri, "?#");
    struct span rest = {NULL, 0};

    if (uri[path_len] == '?') {
        rest.text = uri + path_len + 1;
        rest.len = strcspn(rest.text, "#");
    }
    while (rest.text) {
        struct span parameter = cut(&rest, '&');
        struct span value = parameter;
        struct span encoded_name = cut(&value, '=');

        if (parameter.len > 0 && is_named(encoded_name, name)) {
            if (!value.text)
                value.text = parameter.text + parameter.len;
            return value;
        }
    }
    return (struct span){NULL, 0};
}

int query_next_path_byte(struct span *encoded)
{
    const char *text = encoded->text;
    size_t taken = 1;

    if (encoded->len == 0)
        return -1;
    int byte = (unsigned char)text[0];
    if (byte == '%' && encoded->len >= 3 && hex_digit(text[1]) >= 0 && hex_digit(text[2]) >= 0) {
        byte = hex_digit(text[1]) * 16 + hex_digit(text[2]);
        taken = 3;
    }
    encoded->text += taken;
    encoded->len -= taken;
    return byte;
}

int query_next_byte(struct span *encoded)
{
    bool plus = encoded->len > 0 && encoded->text[0] == '+';
    int byte = query_next_path_byte(encoded);

    return plus ? ' ' : byte;
}
