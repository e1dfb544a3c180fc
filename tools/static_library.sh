#!/bin/sh
# static_library.sh PARTS OUT - an archive of one object in which only what the header declares is global, so that names like
# buf_add stay free for the programs that link it.
set -eu
ld -r --whole-archive "$1" -o "$2.o"
objcopy --localize-hidden "$2.o"
rm -f "$2"
ar rcs "$2" "$2.o"
rm "$2.o"
