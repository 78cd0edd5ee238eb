"""The kernels that chapters run in: this Python, and nothing of the user's own settings."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import default

from lib.compute import cache
from lib.site import folders

LONGEST_SOCKET = 90
"""Characters: the systems allow 104 to 108 for the name of a socket."""

_started: list["subprocess.Popen[bytes]"] = []
"""The kernels that were started, ended ones among them."""


def stop_all() -> None:
    """Kill the kernels that still run."""
    for kernel in _started:
        kernel.kill()


@contextmanager
def manager(folder: Path, variables: Mapping[str, str]) -> Iterator[type[AsyncKernelManager]]:
    """Give a manager whose kernels have a private place for settings and sockets.

    Parameters
    ----------
    folder
        Where the kernels start.
    variables
        Of the environment, beside those of this process.
    """
    # Where HOME or TMPDIR is long, the names of sockets would not fit.
    places = [Path(tempfile.gettempdir()), Path("/tmp")]
    fitting = [
        place for place in places if place.is_dir() and len(str(place)) < LONGEST_SOCKET - 40
    ]
    with folders.private((fitting or places)[0], "book-kernel-") as private:
        (private / "matplotlibrc").touch()
        yield _manager(folder, private, {**_own_settings(private), **variables})


def _own_settings(private: Path) -> dict[str, str]:
    return {
        # The folder in which a relative name means something is that of this process.
        "LIB_CACHE": str(cache.trusted_folder()),
        # What a killed kernel of TensorFlow or joblib cannot remove goes with this folder.
        **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(private)),
        "IPYTHONDIR": str(private / "ipython"),
        # Rules of claims are shown by their docstrings; warnings of other packages are no errors.
        **dict.fromkeys(("PYTHONSTARTUP", "PYTHONOPTIMIZE", "PYTHONWARNINGS"), ""),
        "MATPLOTLIBRC": str(private / "matplotlibrc"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONUTF8": "1",
    }


def _manager(folder: Path, private: Path, variables: Mapping[str, str]) -> type[AsyncKernelManager]:
    """Return a manager whose kernel is this Python, whatever else is installed as python3."""

    class ThisPython(AsyncKernelManager):
        @default("connection_file")
        def _private_file(self) -> str:
            return str(private / "connection.json")

        @default("transport")
        def _private_transport(self) -> str:
            # Others on the machine could read a TCP port. Windows has nothing else.
            fits = os.name != "nt" and len(str(private)) < LONGEST_SOCKET
            return "ipc" if fits else "tcp"

        def _ip_default(self) -> str:
            return str(private / "socket") if self.transport == "ipc" else super()._ip_default()

        # The base class declares a plain function where it has a coroutine.
        async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]
            options["cwd"] = str(folder)  # papermill would change the whole process's folder
            # What cells print is in the notebook; this is the kernel talking about itself.
            await super().start_kernel(stderr=subprocess.DEVNULL, **options)
            assert isinstance(self.provisioner, LocalProvisioner) and self.provisioner.process
            _started.append(self.provisioner.process)

        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(
                argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                display_name="Python 3",
                language="python",
                # Jupyter fills in what follows a dollar sign.
                env={name: value.replace("$", "$$") for name, value in variables.items()},
            )

    return ThisPython
