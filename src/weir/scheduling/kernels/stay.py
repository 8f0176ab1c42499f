"""How long a job stays in a pool."""

from weir.scheduling.kernels.compiled import bare_folded as folded

SCALES = 2
NOMINAL = 1_000_000


@folded
def speed_at(world, place, job_class):  # type: ignore[no-untyped-def]
    """In millionths of nominal, how fast a pool runs a class."""
    variant = world.classes.row[job_class].variant
    speed = world.pools[place].speed
    if variant >= 0:
        return max(1, speed * world.classes.variant_speed[variant, world.pools[place].stack])
    return max(1, speed * 1_000)


@folded
def time_at(rule, world, place, job_class, time):  # type: ignore[no-untyped-def]
    """How long there what takes so long at nominal speed; limits are as long everywhere unless the rule scales them."""
    if rule[SCALES] == 0:
        return time
    speed = speed_at(world, place, job_class)
    return (time * NOMINAL + speed - 1) // speed
