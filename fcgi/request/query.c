/* query.c - the parameters of a query, and percent-decoding. */
/* SPDX-License-Identifier: MIT */
#include "request/query.h"

#include <string.h>

#include "base/percent.h"

/* Cut *REST at the first of SEPARATORS.  Returns the part before it; the part after it stays in
 * *REST.  If there is no separator, returns all of it, and *REST has text NULL. */
static struct span cut(struct span *rest, const char *separators)
{
    struct span head = *rest;

    for (size_t i = 0; i < head.len; i++) {
        if (head.text[i] == '\0' || !strchr(separators, head.text[i]))
            continue;
        *rest = (struct span){head.text + i + 1, head.len - i - 1};
        head.len = i;
        return head;
    }
    *rest = (struct span){NULL, 0};
    return head;
}

bool query_next(struct span *rest, struct span *name, struct span *value)
{
    while (rest->text) {
        struct span parameter = cut(rest, "&;");
        *value = parameter;
        *name = cut(value, "=");
        if (!value->text)
            *value = (struct span){parameter.text + parameter.len, 0};
        if (parameter.len > 0)
            return true;
    }
    return false;
}

struct span query_decode(struct span encoded, struct scratch *scratch)
{
    size_t most = encoded.len, len = 0;
    char *out = scratch_take(scratch, most);

    if (!out)
        return (struct span){NULL, 0};
    for (int byte = query_next_byte(&encoded); byte >= 0; byte = query_next_byte(&encoded))
        out[len++] = (char)byte;
    scratch_give_back(scratch, most - len);
    return (struct span){out, len};
}

struct span query_one_name(char *name, size_t len)
{
    size_t first = 0, end;

    while (first < len && name[first] == ' ')
        first++;
    for (end = first; end < len && name[end] != '\0'; end++) {
        if (name[end] == '[' && end > first)
            break;
        if (name[end] == ' ' || name[end] == '.')
            name[end] = '_';
    }
    return (struct span){name + first, end - first};
}

int query_next_path_byte(struct span *encoded)
{
    const char *text = encoded->text;
    size_t taken = 1;

    if (encoded->len == 0)
        return -1;
    int byte = percent_byte(text, encoded->len);
    if (byte >= 0)
        taken = 3;
    else
        byte = (unsigned char)text[0];
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
