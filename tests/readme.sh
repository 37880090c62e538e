#!/usr/bin/env bash
# readme.sh FILE - print FILE, a document, with the output of its sessions as it is today.
#
#   diff conf/README.md <(REDIS_ADDR=127.0.0.1:6379 PROGRAM=build/ratelimit.fcgi tests/readme.sh conf/README.md)
#
# A session is a block that is indented by four columns.  "$ cat FILE" gives the content of a file, up to the next
# "$ "; "$ ratelimit.fcgi ..." with --check, --explain or --help is run in a folder that holds those files and a link to
# conf/, with the empty Redis of REDIS_ADDR; every other command is left as it is, with its output.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
document=$(realpath "$1")
program=$(realpath "${PROGRAM:-$top/build/ratelimit.fcgi}")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
ln -s "$top/conf" "$folder/conf"
ln -s "$program" "$folder/ratelimit.fcgi"

# indented - standard input by four columns, but for empty lines
indented() { sed 's/^\(.\)/    \1/'; }

# run COMMAND - its output, standard error too
run() {
  (
    cd "$folder"
    PATH=$folder:$PATH LIMITS_FILE='' bash -c "$1" 2>&1 </dev/null || true
  )
}

state=text blanks='' file=''
while IFS= read -r line; do
  if [[ -z $line ]]; then
    blanks+=$'\n'
    continue
  fi
  [[ $line == '    '* ]] || state=text
  if [[ $line == '    $ '* ]]; then
    state=other
    case ${line#'    $ '} in
      'cat '*)
        state=file file=$folder/${line##* }
        : >"$file"
        ;;
      'ratelimit.fcgi '*--check* | 'ratelimit.fcgi '*--explain* | 'ratelimit.fcgi --help')
        [[ $line == *' --redis '* ]] || state=output
        ;;
    esac
    printf '%s%s\n' "$blanks" "$line"
    [[ $state != output ]] || run "${line#'    $ '}" | indented
  elif [[ $state == output ]]; then
    : # it was printed already
  else
    [[ $state != file ]] || printf '%s%s\n' "$blanks" "${line#    }" >>"$file"
    printf '%s%s\n' "$blanks" "$line"
  fi
  blanks=''
done <"$document"
