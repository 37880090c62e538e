/* password_file.c - a password that is kept in a file. */
/* SPDX-License-Identifier: MIT */
#include "store/password_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char *check(const char *password, size_t len)
{
    if (len == 0)
        return "the password file is empty; write the password into it";
    if (len == PASSWORD_SIZE)
        return "the password is too long; write 511 bytes or less";
    if (memchr(password, '\0', len) || strpbrk(password, "\r\n"))
        return "the password file holds a NUL or more than one line; write the password alone into "
               "it";
    return NULL;
}

static const char *read_all(FILE *file, char out[PASSWORD_SIZE])
{
    char bytes[PASSWORD_SIZE + 2] = {0};
    size_t len = fread(bytes, 1, PASSWORD_SIZE + 1, file);

    if (ferror(file))
        return strerror(errno);
    if (len > 0 && bytes[len - 1] == '\n')
        bytes[--len] = '\0';
    const char *error = check(bytes, len < PASSWORD_SIZE ? len : PASSWORD_SIZE);
    if (!error)
        memcpy(out, bytes, len + 1);
    explicit_bzero(bytes, sizeof bytes);
    return error;
}

const char *password_file_read(const char *path, char out[PASSWORD_SIZE], bool *open)
{
    struct stat status;

    out[0] = '\0';
    if (path[0] != '/')
        return "the path of a password file is absolute; write one such as /run/secrets/redis";
    FILE *file = fopen(path, "re");
    if (!file)
        return strerror(errno);
    *open = fstat(fileno(file), &status) == 0 && (status.st_mode & S_IROTH);
    const char *error = read_all(file, out);
    fclose(file);
    return error;
}
