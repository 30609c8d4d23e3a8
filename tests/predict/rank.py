"""Program of test_kills.py: one rank of an MPI job, whose process comes from `warm.py`.

`python rank.py SOCKET FOLDER` under mpiexec. The number of the process that does the work goes to `FOLDER/RANK`.
"""

import json
import os
import socket
import sys
from pathlib import Path

if __name__ == "__main__":
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as keeper:
        keeper.connect(sys.argv[1])
        request = json.dumps(dict(os.environ)).encode()
        socket.send_fds(keeper, [request], [2, int(os.environ["PMI_FD"])])
        aside = Path(sys.argv[2], f".{os.environ['PMI_RANK']}")
        aside.write_bytes(keeper.recv(64))
        aside.replace(Path(sys.argv[2], os.environ["PMI_RANK"]))
        code = int(keeper.recv(64))
    if code < 0:
        os.kill(os.getpid(), -code)
    sys.exit(code)
