"""What machine figures come from, and whether two sets of figures come from the same one."""
import os

FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "asimddp", "i8mm", "sve")


def fingerprint(read_rate):
    """Processor, cores, instruction sets, memory and the rate at which it is read: what has to agree."""
    fields = {}
    with open("/proc/cpuinfo") as file:
        for line in file:
            key, _, value = line.partition(":")
            fields.setdefault(key.strip(), value.strip())
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) * 1024
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    return {
        "processor": fields.get("model name", "unknown processor"),
        "family": " ".join(fields.get(key, "") for key in ("cpu family", "model", "stepping")).strip(),
        "cores": len(os.sched_getaffinity(0)),
        "instruction_sets": [name for name in FEATURES if name in flags],
        "memory_bytes": memory,
        "memory_read_gb_per_second": round(read_rate, 1),
    }


def difference(one, other):
    """Why two fingerprints are not of one machine, or not of one that is as free; None where they are."""
    for key in ("processor", "family", "cores", "instruction_sets"):
        if one[key] != other[key]:
            return f"{key.replace('_', ' ')}: {one[key]} and {other[key]}"
    # The read rate of a shared host comes and goes by a factor of two; one of another kind of memory is further off.
    for key, factor in (("memory_bytes", 1.1), ("memory_read_gb_per_second", 3)):
        low, high = sorted((one[key], other[key]))
        if low <= 0 or high / low > factor:
            return f"{key.replace('_', ' ')}: {one[key]} and {other[key]}"
    return None
