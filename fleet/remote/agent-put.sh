# Receive the agent on stdin: $1 deploy_dir, $2 Python to use, $3 SHA-256 of what must arrive. It becomes visible only
# whole: a cut connection looks like an end of file, so the digest decides.
set -u
umask 077
case $1 in
"~") root=$HOME ;;
"~/"*) root=$HOME/${1#"~/"} ;;
*) root=$1 ;;
esac
mkdir -p "$root/tools" || exit 1
for python in "$2" python3 /usr/bin/python3 /usr/local/bin/python3; do
    command -v "$python" >/dev/null 2>&1 && exec "$python" -I -S -c '
import hashlib, os, sys, tempfile
folder, digest = sys.argv[1:]
data = sys.stdin.buffer.read()
if hashlib.sha256(data).hexdigest() != digest:
    sys.exit("the agent arrived damaged: %d bytes" % len(data))
descriptor, temporary = tempfile.mkstemp(dir=folder)
try:
    with os.fdopen(descriptor, "wb") as target:
        target.write(data)
        target.flush()
        os.fsync(target.fileno())
    os.rename(temporary, os.path.join(folder, digest[:16] + ".pyz"))
except OSError:
    os.unlink(temporary)
    raise
' "$root/tools" "$3"
done
exit 78
