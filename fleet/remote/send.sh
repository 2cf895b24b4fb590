# Send ranges of files in one stream: $1 Python to use (a name or a path), $2 the program sender.py, then its arguments:
# a folder, and path, offset and length of each range. Status 78: no Python.
set -u
# A greeting of the login's shell may lack its line end.
echo
for python in "$1" python3 /usr/bin/python3 /usr/local/bin/python3; do
    if command -v "$python" >/dev/null 2>&1; then
        shift
        exec "$python" -I -S -c "$@"
    fi
done
exit 78
