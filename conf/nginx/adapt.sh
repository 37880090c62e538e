#!/usr/bin/env bash
# adapt.sh FOLDER - copy the configurations of this folder to FOLDER, and replace these values by
# environment variables:
#   LISTEN   address and port, for 127.0.0.1:8080
#   CHECK    address and port of check.conf, for 127.0.0.1:8082
#   SITE     folder of static files, for /srv/www
#   PROXIED  address and port of the proxied backend, for 127.0.0.1:8081
#   FASTCGI  socket of the FastCGI backend, for /run/app/fcgi.sock
#   LIMITER  socket of ratelimit.fcgi, for /run/ratelimit/sock
#   LOGIN    address and port of ratelimit-login.conf, for 127.0.0.1:8083
#   SSO      address and port of single sign-on, for 127.0.0.1:4180
#   TRUSTED  address of the proxy in front, for 192.0.2.80
# If a variable is not set, its value is left as it is.  This script is needed because nginx does
# not read the environment.  Then run: nginx -p FOLDER -c FOLDER/nginx.conf
set -euo pipefail
folder=$1
here=$(cd "$(dirname "$0")" && pwd)

# Use one pass, because otherwise a replacement that looks like another value would be replaced
# again.
# shellcheck disable=SC2016  # the $ is perl's
perl -e '
  my ($folder, @files) = @ARGV;
  my %places = ("127.0.0.1:8080" => "LISTEN", "127.0.0.1:8081" => "PROXIED", "127.0.0.1:8082" => "CHECK",
    "/srv/www" => "SITE", "/run/app/fcgi.sock" => "FASTCGI", "/run/ratelimit/sock" => "LIMITER",
    "127.0.0.1:8083" => "LOGIN", "127.0.0.1:4180" => "SSO",
    "192.0.2.80" => "TRUSTED");
  my $place = join "|", map { quotemeta } keys %places;
  for my $file (@files) {
    open my $in, "<", $file or die "$file: $!\n";
    (my $name = $file) =~ s,.*/,,;
    open my $out, ">", "$folder/$name" or die "$folder/$name: $!\n";
    while (<$in>) { s/($place)/$ENV{$places{$1}} \/\/ $1/ge; print $out $_; }
  }' "$folder" "$here"/*.conf
