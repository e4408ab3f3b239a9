"""Rewrites requirements/{speak,test}.txt from the packages of the running environment: `python scripts/lock.py`.

Every package that moksori's extras reach is pinned to the version installed here, with its licence. Left out: `typing`
(a backport that shadows nothing any more) and `docopt` (source only, and needed by num2words' command alone).
"""

import re
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = {"docopt", "typing"}
NOT_TESTED = {"scale"}
"""Extras whose packages are too large to be installed for every test."""
HEAD = "# Exact versions for Python 3.11, made by scripts/lock.py, with their licences.\n"
SPEAK = HEAD + "# To speak: wheels only. phonemizer and espeakng-loader are GPL-3, moksori itself is not.\n"
TEST = HEAD + "# To test, train and measure, beyond speak.txt; pesq, pyworld and webrtcvad need a C compiler.\n"


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    speak = reached([*project["dependencies"], *extras["espeak"], "setuptools"])
    tested = [requirement for extra, names in extras.items() if extra not in NOT_TESTED for requirement in names]
    test = reached(tested) - speak
    (ROOT / "requirements" / "speak.txt").write_text(SPEAK + pins(speak), encoding="utf-8")
    (ROOT / "requirements" / "test.txt").write_text(TEST + pins(test), encoding="utf-8")


def reached(roots: Iterable[str]) -> set[str]:
    """Normalised names of the packages that the requirements need, themselves included."""
    found: dict[str, set[str]] = {}
    queue = [Requirement(root) for root in roots]
    while queue:
        requirement = queue.pop()
        name = normalised(requirement.name)
        if name in LEFT_OUT or (name in found and requirement.extras <= found[name]):
            continue
        found[name] = found.get(name, set()) | requirement.extras
        for text in metadata.requires(name) or []:
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *found[name])):
                queue.append(needed)
    return set(found)


def pins(names: set[str]) -> str:
    """A line a package; a local version suffix such as `+cpu` is dropped, since registries differ in it."""
    lines = []
    for name in sorted(names):
        package = metadata.metadata(name)
        pin = f"{package['Name']}=={package['Version'].split('+')[0]}"
        lines.append(f"{pin:<36}# {licence(package)}\n")
    return "".join(lines)


def licence(package: "metadata.PackageMetadata") -> str:
    """The licence expression, else the classifiers, else the first line of the free text."""
    if package.get("License-Expression"):
        return str(package["License-Expression"])
    classifiers = [c.rpartition(" :: ")[2] for c in package.get_all("Classifier") or [] if c.startswith("License ::")]
    classifiers = [c for c in classifiers if c != "OSI Approved"]
    free_text = (package.get("License") or "").strip().splitlines()
    return ", ".join(classifiers) or (free_text[0][:60] if free_text else "see the package")


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
