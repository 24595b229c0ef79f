"""The benchmarks, one file each; `bench.tasks` names files of this folder, and each defines `TASK`."""
