"""Every module stands on a floor, and imports from lower ones only."""

import ast
from pathlib import Path

import vecflap

FLOORS = (
    {
        "ranges",
        "draws",
        "kernels",
        "shapes",
        "buffers",
        "graphs",
        "tally",
        "rows",
        "priorities",
        "device",
        "helper",
    },
    {"config"},
    {"presets", "commands", "muon", "explore", "memo", "drawn"},
    {"physics", "vector"},
    {"histogram"},
    {"tables", "rules", "players", "planner", "picture", "disturb", "window"},
    {"render"},
    {"play", "replay", "views", "bitconv", "bitblock"},
    {"networks"},
    {"sim", "frozen"},
    {"ahead", "dqn", "checkpoint", "tracefile", "shown", "cuda_sim"},
    {"deaths", "lessons"},
    {"traces", "evaluate", "gym"},
    {"folder", "judge", "proof"},
    {"selection"},
    {"run", "doctor"},
    {"row"},
    {"loop"},
    {"speed"},
    {"display", "results", "watch"},
    {"cli"},
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}


def imported(source: Path) -> set[str]:
    """The package's modules that a module imports, at its top or in its functions."""
    names = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "vecflap":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports would go unseen"
            names |= {node.module.removeprefix("vecflap.")} if node.module.startswith("vecflap.") else set()
        elif isinstance(node, ast.Import):
            assert not any(alias.name.startswith("vecflap") for alias in node.names)
    return names


def test_imports_go_down():
    sources = {path.stem: path for path in Path(vecflap.__file__).parent.glob("*.py")}
    assert set(sources) - {"__init__"} == set(FLOOR)
    assert imported(sources.pop("__init__")) == set()
    edges = [(name, other) for name, path in sources.items() for other in imported(path)]
    assert len(edges) > 40
    assert not [(name, other) for name, other in edges if FLOOR[other] >= FLOOR[name]]


def test_the_public_names_are_what_init_says():
    assert {name: getattr(vecflap, name).__module__ for name in vecflap.__all__} == {
        name: f"vecflap.{module}" for name, module in vecflap._WHERE.items()
    }
    assert vecflap.__all__ == sorted(vecflap._WHERE)
