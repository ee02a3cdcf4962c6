"""Builds the native helpers. Everything else about the package is in pyproject.toml."""

import os
import subprocess
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler import Options
from setuptools import Extension, setup

Options.fail_fast = True

# GW_NATIVE_SANITIZE=1 builds with AddressSanitizer and UBSan.
sanitize = os.environ.get("GW_NATIVE_SANITIZE") == "1"
flags = [
    "-O2",
    "-g",
    "-std=c11",
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-Wno-unused-function",
    "-Wno-cast-function-type",
]
link: list[str] = []
if sanitize:
    flags += ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-O1"]
    link += ["-fsanitize=address,undefined"]

LIBRARIES = {"tls": ["ssl", "crypto"]}


def missing(source: Path) -> bool:
    """Tell whether a helper cannot be built here, and say what that means."""
    if source.stem != "tls":
        return False
    compiler = os.environ.get("CC", "cc").split()
    done = subprocess.run(
        [*compiler, "-E", "-"],
        input=b"#include <openssl/ssl.h>\n",
        capture_output=True,
        check=False,
    )
    if done.returncode:
        print("OpenSSL's headers are missing (apt install libssl-dev): uvloop does devices' TLS")
    return done.returncode != 0


extensions = [
    Extension(
        f"gw._native.{source.stem}",
        [str(source)],
        depends=[str(header) for header in sorted(source.parent.glob("*.h"))],
        extra_compile_args=flags,
        extra_link_args=link,
        libraries=LIBRARIES.get(source.stem, []),
    )
    for source in sorted(Path("gw/_native").glob("*.pyx"))
    if not missing(source)
]

setup(
    ext_modules=cythonize(
        extensions,
        language_level=3,
        compiler_directives={
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "embedsignature": True,
            "warn.undeclared": False,
            "warn.unused": True,
            "warn.maybe_uninitialized": True,
        },
    )
)
