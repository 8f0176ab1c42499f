"""What runs first in every container: it claims the task, starts the command, and tells how it ended.

POSIX sh, since that is what images have. It is process 1 of its container, so that whatever the command
started ends with it. Its own programs come from the image's system folders first: the order's PATH, which may
name folders that the task's user can write, is the command's.
"""

from dataclasses import dataclass

__all__ = ["LOG_PATH", "SCRIPT", "TaskEndRecord", "read_end", "wrapper_arguments"]

LOG_PATH = "/dev/termination-log"
"""Where a container leaves its last words; Kubernetes keeps 4,096 bytes of them in the pod's status."""

_MARK = "weir1"

SCRIPT = r"""
set -u
words=$1 folder=$2 shared=$3 signal=$4 grace=$5 limit=$6 stack=$7
shift 7
files=${WEIR_FILES_URL:-} token=${WEIR_FILES_TOKEN:-} carrier=${WEIR_FILES_PROGRAM:-}
unset WEIR_FILES_URL WEIR_FILES_TOKEN WEIR_FILES_PROGRAM
path=$PATH PATH=/usr/bin:/bin:/usr/sbin:/sbin${PATH:+:$PATH}
mask=$(umask)
umask 077
task=${JOB_COMPLETION_INDEX:-0} started=- code=1 told=- hit= child= shown=
now() {
  now=$(date +%s%N); case $now in *[!0-9]*|??????????) now=$(date +%s)000000000;; esac
  now=${now%??????}
}
say() {
  line="weir1 $1 ${shown:-$code} $started $now $2"
  { printf '%s\n' "$line" >"$words"; } 2>/dev/null
  [ -z "$shared" ] || { printf '%s\n' "$line" >"$folder/$task.end"; } 2>/dev/null
}
leave() {
  now
  say "$1" "$2"
  [ "$1" = - ] || [ "$code" != 0 ] || code=124
  exit "$code"
}
[ -d "$folder/scratch" ] || mkdir "$folder/scratch" 2>/dev/null
cd "$folder/work" 2>/dev/null || leave folder "its work folder $folder/work cannot be entered at the node"
if [ -n "$shared" ]; then
  set -C
  { printf '' >"$folder/$task.claim"; } 2>/dev/null || {
    set +C
    shared=
    [ ! -e "$folder/$task.claim" ] || { code=75; leave duplicate "another pod of it has claimed the task"; }
    leave folder "its folder $folder cannot be written at the node"
  }
  set +C
  [ ! -e "$folder/stop" ] || { code=143; leave stop "ended before its start"; }
  { printf '' >>"$folder/$task.stdout" && printf '' >>"$folder/$task.stderr"; } 2>/dev/null ||
    leave folder "its folder $folder cannot be written at the node"
  exec >>"$folder/$task.stdout" 2>>"$folder/$task.stderr"
fi
status=$folder/.weir.$task
[ -n "$shared" ] || status=$folder/scratch/.weir.$task
if [ -n "$files" ]; then
  python=$(command -v python3 || command -v python) ||
    leave folder "the image has no Python, by which the files are brought from the agent and back"
  carry() { WEIR_FILES_TOKEN=$token exec "$python" -I -S -c "$carrier" "$1" "$files" "$task" >"$status"; }
  bring=
  trap '[ -z "$bring" ] || kill -s KILL "$bring" 2>/dev/null; code=143; leave stop "ended before its start"' TERM
  (trap - TERM; carry fetch) </dev/null 2>/dev/null &
  bring=$!
  wait "$bring" || { IFS= read -r line <"$status"; leave inputs "${line:-the inputs could not be brought}"; }
fi
devices=${WEIR_DEVICES:-}
if [ -n "$devices" ] && [ "$stack" = CUDA_VISIBLE_DEVICES ]; then
  case ${NVIDIA_VISIBLE_DEVICES:-all} in all|none|void|/*) ;; *) devices=$NVIDIA_VISIBLE_DEVICES;; esac
fi
export WEIR_DEVICES="$devices" WEIR_TASK_INDEX="$task"
[ -z "$stack" ] || export "$stack=$devices"
if [ -n "${WEIR_LOCAL_RANKS:-}" ]; then
  rest=$WEIR_LOCAL_RANKS n=$task
  while [ "$n" -gt 0 ]; do rest=${rest#*,} n=$((n - 1)); done
  export RANK="$task" LOCAL_RANK="${rest%%,*}"
fi
there=
case $1 in
  */*) [ ! -e "$1" ] || there=$1 ;;
  *) rest=$path:
    while [ -n "$rest" ]; do
      place=${rest%%:*} rest=${rest#*:}; place=${place:-.}/$1
      [ -e "$place" ] || continue
      there=${there:-$place}
      [ ! -x "$place" ] || [ -d "$place" ] || { there=$place; break; }
    done ;;
esac
code=127
[ -n "$there" ] ||
  leave start "$1: not found; give a program that is in the image, or a path below the work folder"
code=126
{ [ -x "$there" ] && [ ! -d "$there" ]; } || leave start "$1: not executable; check its permissions"
reset= session=
case $1 in *=*) ;; *)
  env --default-signal=INT,QUIT true 2>/dev/null && reset="env --default-signal=INT,QUIT" ;;
esac
command -v setsid >/dev/null 2>&1 && session=setsid
tell() { kill -s "$1" -- "-$child" 2>/dev/null || kill -s "$1" "$child" 2>/dev/null; }
halt() {
  hit=1
  [ "$told" = - ] || return 0
  told=$1
  [ -n "$child" ] || return 0
  tell "$signal"
  (trap - TERM ALRM; sleep "$grace" 2>/dev/null || sleep "$((${grace%.*} + 1))"; tell KILL) >/dev/null 2>&1 &
}
# Only a shell that waits in the foreground says of its child that a signal ended it, and no mere code.
run='PATH=$1; export PATH; shift; trap : TERM INT QUIT HUP USR1 USR2
(exec "$@") 2>&3 3>&-; code=$?; echo "$code" >&2; exit "$code"'
code=143
trap 'halt stop' TERM
trap 'halt limit' ALRM
now
started=$now
[ "$told" = - ] || { started=-; leave "$told" "ended before its start"; }
(trap - TERM ALRM; umask "$mask"
  exec $session $reset /bin/sh -c "$run" weir "$path" "$@") </dev/null 3>&2 2>"$status" &
child=$!
exec 2>/dev/null
[ "$told" = - ] || { was=$told told=-; halt "$was"; }
(trap - TERM ALRM; sleep "$limit" 2>/dev/null || sleep "$((${limit%.*} + 1))"; kill -s ALRM $$) >/dev/null 2>&1 &
while :; do
  hit=
  wait "$child" || :
  [ -n "$hit" ] || break
done
first= last=
while IFS= read -r line; do first=${first:-$line} last=$line; done <"$status" 2>/dev/null
case $last in
  ""|*[!0-9]*) [ "$told" != - ] || told=lost
    code=137 shown=s9 ;;
  *) code=$last shown=$last
    if [ "$first" != "$last" ] || [ "$last" = 130 ] || [ "$last" = 141 ]; then shown=s$((last - 128)); fi ;;
esac
if [ -n "$files" ]; then
  trap 'hit=1' TERM ALRM
  now
  # Of a success nothing is said before its outputs are there: killed meanwhile, it has not been one.
  { [ "$told" = - ] && [ "$code" = 0 ]; } || say "$told" ""
  (trap - TERM ALRM; carry hand) </dev/null >/dev/null 2>&1 &
  while :; do
    hit= failed=
    wait "$!" || failed=1
    [ -n "$hit" ] || break
  done
  if [ -n "$failed" ]; then
    IFS= read -r line <"$status"
    line="the outputs could not be brought back: ${line:-it was broken off}"
    if [ "$told" = - ] && [ "$code" = 0 ]; then leave outputs "$line"; else say "$told" "$line"; exit "$code"; fi
  fi
fi
leave "$told" ""
""".strip()


@dataclass(frozen=True, slots=True)
class TaskEndRecord:
    """The last words of a task.

        `told` is what ended it: empty (itself), `stop` (SIGTERM: cancelled, evicted, its gang), `limit`, `start`
    `folder` (the node could not prepare it), `lost` (what waited for it was
        killed) or `duplicate`. One of `code` and `signal` is None. Times are the node's.
    """

    told: str
    code: int | None
    signal: int | None
    started_ms: int | None
    ended_ms: int
    message: str


def read_end(text: str) -> TaskEndRecord | None:
    """The record in a container's last words; None where there is none, as after a kill."""
    parts = text.strip().split(" ", 5)
    if len(parts) < 5 or parts[0] != _MARK:
        return None
    _, told, code, started, ended, *message = parts
    try:
        return TaskEndRecord(
            "" if told == "-" else told,
            None if code.startswith("s") else int(code),
            int(code[1:]) if code.startswith("s") else None,
            None if started == "-" else int(started),
            int(ended),
            "".join(message),
        )
    except ValueError:
        return None


def wrapper_arguments(
    folder: str, *, shared: bool, stop_signal: str, grace_ms: int, limit_ms: int, stack_variable: str
) -> list[str]:
    """What the script is called with, before the command."""
    return [
        LOG_PATH,
        folder,
        "shared" if shared else "",
        stop_signal.removeprefix("SIG"),
        f"{grace_ms / 1_000:.3f}",
        f"{limit_ms / 1_000:.3f}",
        stack_variable,
    ]
