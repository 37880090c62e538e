/* password_file.h - a password in a file, which is how Docker and Kubernetes provide secrets. */
#ifndef PASSWORD_FILE_H
#define PASSWORD_FILE_H

#include <stdbool.h>

#define PASSWORD_SIZE 512 /* bytes of a password, NUL included */

/* Read the password in the file at PATH (absolute) into OUT: the whole file, without one newline at
 * its end. *OPEN becomes whether everyone on the machine may read it. Returns NULL, or what is
 * wrong and what would be right: a static string that repeats nothing of the file, or the text of
 * an error number; OUT is then "". */
const char *password_file_read(const char *path, char out[PASSWORD_SIZE], bool *open);

#endif
