"""Program of test_mpi.py: ranks of one mpiexec that predict in teams, first divided in one way, then in another.

`mpiexec -n N python teams.py ROUND...`. A round is `SIZE=CONFIG,CONFIG...` for each of its teams, joined by `+`. A team
is told that it is all the ranks there are: so one start of MPI tries many numbers of them.
"""

import sys

from mpi4py import MPI

from starnet_hpc.cli import stage_main
from starnet_hpc.predict import ranks


def play(teams: list[str]) -> int:
    sizes = [int(team.partition("=")[0]) for team in teams]
    assert sum(sizes) <= MPI.COMM_WORLD.Get_size()
    places = [number for number, size in enumerate(sizes) for _ in range(size)]
    rank = MPI.COMM_WORLD.Get_rank()
    own = places[rank] if rank < len(places) else MPI.UNDEFINED
    team = MPI.COMM_WORLD.Split(own, rank)
    code = 0
    if own != MPI.UNDEFINED:
        ranks.announced_ranks = lambda: (team.Get_size(), team.Get_rank())
        ranks.mpi_world = lambda announced, rank: team
        code = max(stage_main("predict", [path]) for path in teams[own].partition("=")[2].split(","))
    return int(MPI.COMM_WORLD.allreduce(code, op=MPI.MAX))


if __name__ == "__main__":
    raise SystemExit(max(play(text.split("+")) for text in sys.argv[1:]))
