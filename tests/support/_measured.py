"""The child of `memory.peak_memory`: reads a job on stdin, prints growth and result as JSON."""

import json
import resource
import sys


def _peak() -> int:
    # Not ru_maxrss on Linux: a child begins there with the peak of the process that started it.
    try:
        with open("/proc/self/status") as status:
            line = next(line for line in status if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
    return int(line.split()[1]) * 1024


def _forget_peak() -> None:
    # 5 resets the high-water mark to what is resident now (proc(5)); where that is refused, the
    # setup's own peak stays the baseline.
    try:
        with open("/proc/self/clear_refs", "w") as refs:
            refs.write("5")
    except OSError:
        pass


setup, work, names = json.load(sys.stdin)
exec(compile(setup, "<setup>", "exec"), names)
code = compile(work, "<work>", "exec")
_forget_peak()
baseline = _peak()
exec(code, names)
growth = _peak() - baseline
print()
print(json.dumps({"growth": growth, "result": names.get("result")}))
