#!/bin/sh
# image.sh PROGRAM DIR: what an image of the program needs, below DIR: the program, the libraries that it is linked to, and how it is built.
set -eu
program=$1 dir=$2
rm -rf "$dir"
mkdir -p "$dir"
cp "$program" "$dir/$(basename "$program")"
cp "$(dirname "$0")/Dockerfile" "$dir/Dockerfile"
for library in $(ldd "$program" | grep -o '/[^ ]*'); do
    mkdir -p "$dir$(dirname "$library")"
    cp -L "$library" "$dir$library"
done
