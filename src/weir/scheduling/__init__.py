"""The scheduling core: arrays in, plan out. No I/O, no clock, no database, no logging."""
