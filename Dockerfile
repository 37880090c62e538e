# The rate limiter as an image: lighttpd, ratelimit.fcgi and the libraries they need, nothing else.
#
#   docker build -t rate-limiter .
#   docker run -p 8080:8080 -e REDIS_ADDR=my-redis:6379 --network app-net rate-limiter
#
# For your own limits, use -v "$PWD/limits:/etc/ratelimit/limits:ro" and
# -e LIMITS_FILE=/etc/ratelimit/limits/limits.yaml; conf/docker/README.md says why a folder.  To only
# check them, put "ratelimit.fcgi --check" after the image's name.
# Works with --read-only, --cap-drop ALL, --security-opt no-new-privileges and any --user.

FROM debian:trixie-slim AS build

RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      ca-certificates gcc libc6-dev make pkgconf xxd \
      libev-dev libfcgi-dev libhiredis-dev libssl-dev libyaml-dev nettle-dev uthash-dev lighttpd \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY . .
RUN make \
 && for tool in start healthcheck; do \
      gcc -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -o "build/$tool" "conf/docker/$tool.c" || exit; \
    done

# /image becomes the root of the final image.  Each library keeps the path that ldd prints, which is
# in the loader's default search path, so that no ld.so.cache is needed.  Debian's files are
# stripped already.  Some dependencies are not shown by ldd:
#   libgcc_s is loaded by libc when a thread exits, such as the one that looks up the name of Redis
#   names are resolved by libc itself (/etc/hosts, DNS), so that no NSS library is needed
#   mod_fastcgi is built into lighttpd of Debian 13, so that no module is needed
#   OpenSSL looks for the certificates of authorities in /usr/lib/ssl/cert.pem
# lighttpd warns if /var/tmp is missing, although conf/lighttpd.conf keeps it from writing there.
RUN set -eu; \
    install -D -s -t /image/usr/bin build/ratelimit.fcgi build/start build/healthcheck; \
    ln -s ratelimit.fcgi /image/usr/bin/ratelimitctl; \
    install -D -t /image/usr/sbin /usr/sbin/lighttpd; \
    { ldd /image/usr/*bin/*; ldconfig -p | grep 'libgcc_s\.so\.1'; } | grep -o '/lib[^ ]*' | sort -u \
      | while read -r library; do install -D "$library" "/image$library"; done; \
    install -d /image/var/tmp; \
    install -D -m 644 /etc/ssl/certs/ca-certificates.crt /image/usr/lib/ssl/cert.pem; \
    install -D -m 644 -t /image/etc/ratelimit conf/lighttpd.conf conf/limits.yaml; \
    echo 'ratelimit:x:65532:65532::/:/nonexistent' >/image/etc/passwd; \
    echo 'ratelimit:x:65532:' >/image/etc/group

FROM scratch

LABEL org.opencontainers.image.title="rate-limiter" \
      org.opencontainers.image.description="Distributed token-bucket rate limiter: lighttpd, ratelimit.fcgi, buckets in Redis"

COPY --from=build /image/ /

# SOCKET_DIR: lighttpd and ratelimit.fcgi communicate over unix sockets, and the processes count
# together in the file SOCKET_DIR/ratelimit.shared (5 MB, and 0.3 MB for each process), so a writable folder is
# needed.  RATELIMIT_SHARED names that file for programs that are run by docker exec.  /dev/shm is
# writable in every container, under --read-only and for any user, and is private to the container.
# If it is not private (--ipc host, the containers of one pod), mount a tmpfs and set SOCKET_DIR to
# it, and RATELIMIT_SHARED.  A VOLUME would leave an anonymous volume behind after every run.
ENV PATH=/usr/bin:/usr/sbin \
    BIND=0.0.0.0 \
    PORT=8080 \
    WORKERS=2 \
    PROGRAM=/usr/bin/ratelimit.fcgi \
    SOCKET_DIR=/dev/shm \
    RATELIMIT_SHARED=/dev/shm/ratelimit.shared \
    LIMITS_FILE=/etc/ratelimit/limits.yaml

USER 65532:65532
EXPOSE 8080

# On SIGINT, lighttpd finishes the requests in progress; on SIGTERM, Docker's default, it aborts
# them.
STOPSIGNAL SIGINT

HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["healthcheck"]

CMD ["start"]
