# Run a command with variables that come over stdin: lines NAME=VALUE up to an empty line, then the command's own
# stdin. They are in no argument list and in no file. Arguments: the command.
set -u
while IFS= read -r line && [ -n "$line" ]; do
    export "$line"
done
exec "$@"
