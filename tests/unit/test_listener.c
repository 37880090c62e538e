/* test_listener.c - tests of front/listener: opening and closing unix and TCP sockets. */
/* SPDX-License-Identifier: MIT */
#include "table.h"
#include "front/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PATH_MOST 107 /* bytes of a unix socket's path: sizeof sun_path - 1 */

/* A folder for one test, and the address of a socket in it. */
static struct {
    char folder[32];
    char address[64]; /* unix:FOLDER/socket */
    const char *path; /* FOLDER/socket */
    mode_t mask;
} place;

static int make_place(void **state)
{
    (void)state;
    strcpy(place.folder, "/tmp/listener.XXXXXX");
    assert_non_null(mkdtemp(place.folder));
    snprintf(place.address, sizeof place.address, "unix:%s/socket", place.folder);
    place.path = place.address + strlen("unix:");
    place.mask = umask(022);
    return 0;
}

static int remove_place(void **state)
{
    (void)state;
    umask(place.mask);
    unlink(place.path);
    rmdir(place.folder);
    return 0;
}

#define TEST_IN_PLACE(name) TEST_WITH(name, make_place, remove_place)

static int open_or_fail(const char *address)
{
    char error[512] = "";
    int fd = listener_open(address, error, sizeof error);

    if (fd < 0)
        fail_msg("\"%s\": %s", address, error);
    assert_true(listener_is_listening(fd));
    assert_int_equal(listener_is_unix(fd), strncmp(address, "unix:", 5) == 0);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    return fd;
}

/* ADDRESS is refused with an error that begins with it and says FRAGMENT. */
static void want_refused(const char *address, const char *fragment)
{
    char error[1024] = "", start[512];
    int fd = listener_open(address, error, sizeof error);

    if (fd >= 0)
        fail_msg("\"%s\": opened, want an error that says \"%s\"", address, fragment);
    snprintf(start, sizeof start, "%s: ", address);
    if (strncmp(error, start, strlen(start)) != 0 || !strstr(error, fragment))
        fail_msg("\"%s\": \"%s\", want an error that says \"%s\"", address, error, fragment);
}

static struct sockaddr_un unix_name(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    assert_true(strlen(path) < sizeof name.sun_path);
    strcpy(name.sun_path, path);
    return name;
}

/* A client of the unix socket at PATH, or -1. */
static int unix_client(const char *path, int flags)
{
    struct sockaddr_un name = unix_name(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | flags, 0);

    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&name, sizeof name) == 0)
        return fd;
    close(fd);
    return -1;
}

/* A socket of another program at PATH, with room for BACKLOG connections. */
static int other_socket(const char *path, int backlog)
{
    struct sockaddr_un name = unix_name(path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

static mode_t mode_of(const char *path)
{
    struct stat file;

    return lstat(path, &file) == 0 ? file.st_mode : 0;
}

static void a_client_can_connect(int listener, int client)
{
    int accepted = accept(listener, NULL, NULL);

    assert_true(client >= 0);
    assert_true(accepted >= 0);
    close(accepted);
    close(client);
}

TEST_IN_PLACE(only_its_owner_and_group_can_use_a_unix_socket)
{
    static const mode_t masks[] = {0, 022, 077, 0777};
    FOR_EACH(mask, masks) {
        umask(*mask);
        int fd = open_or_fail(place.address);
        assert_int_equal(mode_of(place.path), S_IFSOCK | 0660);
        assert_int_equal(umask(022), *mask);
        a_client_can_connect(fd, unix_client(place.path, 0));
        listener_close(fd, place.address);
        assert_int_equal(mode_of(place.path), 0);
    }
}

TEST_IN_PLACE(a_socket_that_a_dead_process_left_is_replaced)
{
    close(other_socket(place.path, 1));
    assert_int_equal(mode_of(place.path) & S_IFMT, S_IFSOCK);
    int fd = open_or_fail(place.address);
    a_client_can_connect(fd, unix_client(place.path, 0));
    listener_close(fd, place.address);
}

TEST_IN_PLACE(a_socket_that_answers_is_left_alone)
{
    int fd = open_or_fail(place.address);

    want_refused(place.address, "Address already in use");
    int client = unix_client(place.path, 0);
    int probe = accept(fd, NULL, NULL); /* the connection that checked for an answer */
    assert_true(probe >= 0);
    close(probe);
    a_client_can_connect(fd, client);
    listener_close(fd, place.address);
}

TEST_IN_PLACE(a_socket_whose_owner_hangs_is_left_alone_and_not_waited_for)
{
    int fd = other_socket(place.path, 0);
    int clients[16], count = 0;

    while (count < 16 && (clients[count] = unix_client(place.path, SOCK_NONBLOCK)) >= 0)
        count++;
    assert_in_range(count, 1, 15);
    assert_int_equal(errno, EAGAIN);
    alarm(10); /* ends the test if it would wait for ever */
    want_refused(place.address, "Address already in use");
    alarm(0);
    assert_int_equal(mode_of(place.path) & S_IFMT, S_IFSOCK);
    while (count > 0)
        close(clients[--count]);
    close(fd);
}

TEST_IN_PLACE(a_file_that_is_not_a_socket_is_left_alone)
{
    int file = open(place.path, O_CREAT | O_EXCL | O_WRONLY, 0600);

    assert_true(file >= 0);
    assert_int_equal(write(file, "precious", 8), 8);
    close(file);
    want_refused(place.address, "Address already in use");
    assert_int_equal(mode_of(place.path), S_IFREG | 0600);
    unlink(place.path);

    assert_int_equal(symlink("/nonexistent", place.path), 0);
    want_refused(place.address, "Address already in use");
    assert_int_equal(mode_of(place.path) & S_IFMT, S_IFLNK);
}

TEST_IN_PLACE(a_link_to_a_dead_socket_is_left_alone)
{
    char other[64];

    snprintf(other, sizeof other, "%s/other", place.folder);
    close(other_socket(other, 1));
    assert_int_equal(symlink(other, place.path), 0);
    want_refused(place.address, "Address already in use");
    assert_int_equal(mode_of(other) & S_IFMT, S_IFSOCK);
    unlink(other);
}

TEST_IN_PLACE(the_longest_path_is_opened_and_none_longer)
{
    char address[256];
    size_t len = (size_t)sprintf(address, "unix:%s/", place.folder);

    memset(address + len, 'x', sizeof address - len);
    address[strlen("unix:") + PATH_MOST + 1] = '\0';
    want_refused(address, "absolute and at most 107 bytes");
    address[strlen("unix:") + PATH_MOST] = '\0';
    listener_close(open_or_fail(address), address);
    assert_int_equal(mode_of(address + strlen("unix:")), 0);
}

TEST(a_wrong_address_is_an_error_that_says_what_would_be_right)
{
    char long_path[256] = "unix:/", long_host[600];
    const struct {
        const char *address, *error;
    } cases[] = {
        {"", "write unix:/PATH, HOST:PORT or [IPV6]:PORT, a port is 0 to 65535"},
        {"nonsense", "write unix:/PATH"},
        {"1.2.3.4", "write unix:/PATH"},
        {"8080", "write unix:/PATH"},
        {":", "write unix:/PATH"},
        {":80", "write unix:/PATH"},
        {"/run/socket", "write unix:/PATH"},
        {"127.0.0.1:", "write unix:/PATH"},
        {"127.0.0.1:http", "write unix:/PATH"},
        {"127.0.0.1:65536", "write unix:/PATH"},
        {"127.0.0.1:99999", "write unix:/PATH"},
        {"127.0.0.1:100000", "write unix:/PATH"},
        {"127.0.0.1:-1", "write unix:/PATH"},
        {"127.0.0.1:+1", "write unix:/PATH"},
        {"127.0.0.1: 1", "write unix:/PATH"},
        {"127.0.0.1:80x", "write unix:/PATH"},
        {"127.0.0.1:80:", "write unix:/PATH"},
        {"::1", "write unix:/PATH"},
        {"::1:80", "write unix:/PATH"},
        {"[::1]", "write unix:/PATH"},
        {"[::1]:", "write unix:/PATH"},
        {"[::1]x:80", "write unix:/PATH"},
        {"tcp://127.0.0.1:80", "write unix:/PATH"},
        {"unix:", "write unix:/PATH, absolute"},
        {"unix:relative", "write unix:/PATH, absolute"},
        {"unix:./relative", "write unix:/PATH, absolute"},
        {long_path, "at most 107 bytes"},
        {long_host, "write unix:/PATH"},
        {"unix:/nonexistent/socket", "No such file or directory"},
        {"unix:/dev/null/socket", "Not a directory"},
        {"unix:/", "Address already in use"},
        {"192.0.2.1:0", "Cannot assign requested address"},
    };

    memset(long_path + strlen(long_path), 'x', 199);
    memset(long_host, 'x', sizeof long_host);
    strcpy(long_host + 300, ":80");
    FOR_EACH(c, cases)
        want_refused(c->address, c->error);
}

/* The error is the resolver's, and its words differ from one C library to another. */
TEST(an_invalid_host_is_an_error)
{
    static const char *const cases[] = {"[]:80", "[:80", "]:80", "[[::1]]:80", "::1]:80"};

    FOR_EACH(c, cases)
        want_refused(*c, ": ");
}

TEST(an_error_fits_the_space_it_is_given)
{
    char error[16];

    memset(error, 'x', sizeof error);
    assert_int_equal(listener_open("nonsense", error, sizeof error), -1);
    assert_string_equal(error, "nonsense: write");
    assert_int_equal(listener_open("unix:relative", error, sizeof error), -1);
    assert_string_equal(error, "unix:relative: ");
}

TEST(an_ipv4_address_is_opened_once)
{
    int fd = open_or_fail("127.0.0.1:0"), client = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in name;
    socklen_t len = sizeof name;
    char address[64];

    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    assert_int_equal(name.sin_family, AF_INET);
    assert_int_equal(ntohl(name.sin_addr.s_addr), INADDR_LOOPBACK);
    assert_int_equal(connect(client, (struct sockaddr *)&name, len), 0);
    a_client_can_connect(fd, client);

    snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(name.sin_port));
    want_refused(address, "Address already in use");
    listener_close(fd, address);
    /* At once, with a connection still in TIME_WAIT. */
    listener_close(open_or_fail(address), address);
}

TEST(a_host_name_is_looked_up)
{
    listener_close(open_or_fail("localhost:0"), NULL);
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&name, sizeof name) == 0;

    if (fd >= 0)
        close(fd);
    return has;
}

TEST(an_ipv6_address_is_opened)
{
    struct sockaddr_in6 name;
    socklen_t len = sizeof name;

    if (!has_ipv6()) {
        print_message("skipped: this machine has no IPv6\n");
        skip();
    }
    int fd = open_or_fail("[::1]:0"), client = socket(AF_INET6, SOCK_STREAM, 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    assert_int_equal(name.sin6_family, AF_INET6);
    assert_true(IN6_IS_ADDR_LOOPBACK(&name.sin6_addr));
    assert_int_equal(connect(client, (struct sockaddr *)&name, len), 0);
    a_client_can_connect(fd, client);
    listener_close(fd, "[::1]:0");
}

TEST_IN_PLACE(closing_removes_only_the_file_of_a_unix_socket)
{
    int fd = open_or_fail(place.address);

    listener_close(fd, NULL);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(mode_of(place.path) & S_IFMT, S_IFSOCK);
    listener_close(open_or_fail("127.0.0.1:0"), place.path);
    assert_int_equal(mode_of(place.path) & S_IFMT, S_IFSOCK);
    listener_close(open_or_fail(place.address), place.address);
    assert_int_equal(mode_of(place.path), 0);
}

/* Returns whether FD listens, and closes it. */
static bool listens(int fd)
{
    bool listening = listener_is_listening(fd);

    assert_true(fd >= 0);
    close(fd);
    return listening;
}

TEST_IN_PLACE(only_a_socket_that_listens_is_listening)
{
    int pair[2], ends[2], client;

    assert_int_equal(pipe(ends), 0);
    assert_false(listens(ends[0]));
    assert_false(listens(ends[1]));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_false(listens(pair[0]));
    assert_false(listens(pair[1]));
    assert_false(listens(socket(AF_UNIX, SOCK_STREAM, 0)));
    assert_false(listens(socket(AF_INET, SOCK_STREAM, 0)));
    assert_false(listens(socket(AF_INET, SOCK_DGRAM, 0)));
    assert_false(listens(open("/dev/null", O_RDWR)));
    assert_false(listens(open("/", O_RDONLY)));
    assert_false(listener_is_listening(-1));
    assert_false(listener_is_unix(-1));
    assert_false(listener_is_listening(pair[0])); /* closed */

    int fd = other_socket(place.path, 1);
    client = unix_client(place.path, 0);
    assert_false(listens(client));
    assert_true(listens(fd));
    assert_true(listens(open_or_fail("127.0.0.1:0")));
}

TESTS_MAIN
