"""Let a bird that vecflap trained play the original program, unchanged, frame by frame through its own
`frame_step`.

python examples/play_original.py CHECKOUT RUN [--window] [--frames 10000] [--fps 30] [--out scores.json]

CHECKOUT is a copy of such a program, as DeepLearningFlappyBird or what descends from it: somewhere in it is a
file with a class GameState. It needs pygame (pip install pygame-ce). RUN is a run of `vecflap train --rules
flap9`, or flap7, whichever the program's game is. Without --window it plays headless, as fast as it can.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch

import vecflap
from vecflap.evaluate import Policy
from vecflap.folder import manifest
from vecflap.render import SIZE


def find_game(checkout: Path) -> Path:
    """The file with the program's game."""
    for file in sorted(checkout.rglob("*.py")):
        if "class GameState" in file.read_text(errors="ignore"):
            return file
    sys.exit(f"{checkout} has no file with a class GameState: is it a copy of the original program?")


def load_game(checkout: Path, window: bool, fps: float):
    """The program's module, imported as its own scripts do: from its folder, beside its pictures."""
    if not window:
        os.environ |= {"SDL_VIDEODRIVER": "dummy"}
    os.environ |= {"SDL_AUDIODRIVER": "dummy", "PYGAME_HIDE_SUPPORT_PROMPT": "1"}
    file = find_game(checkout)
    sys.path[:0] = [str(file.parent.absolute()), str(checkout.absolute())]
    os.chdir(checkout)
    module = __import__(file.stem)
    module.FPS = fps  # 0: its clock does not wait
    return module


def packed(screen: np.ndarray) -> torch.Tensor:
    """int64 [64]: what the network sees of a screen, uint8 [288, 512, 3]. A pixel is lit where any of
    four is: what a bilinear resize to 64 x 64 and a threshold at 1 come to."""
    lit = screen.any(axis=2)
    x = np.floor(4.5 * np.arange(SIZE) + 1.75).astype(int)[:, None]
    y = 8 * np.arange(SIZE) + 3
    picture = lit[x, y] | lit[x + 1, y] | lit[x, y + 1] | lit[x + 1, y + 1]  # bool [64 columns, 64 rows]
    return torch.from_numpy(np.packbits(picture, axis=1, bitorder="little").view(np.int64)[:, 0])


def play(game, policy: Policy, frames: int):
    """Play so many frames. Yields the pipes passed in every game that ends, and in the last as it stands."""
    state = game.GameState()
    screen, *_ = state.frame_step([1, 0])
    stack, age = [packed(screen)] * 4, 0
    for _ in range(frames):
        decides = age % policy.config.skip == 0  # in the other frames it glides
        flap, score = int(decides and policy.act(torch.stack(stack)[None])[0]), state.score
        screen, _, over = state.frame_step([1 - flap, flap])
        age += 1
        if over:  # the program has begun the next game, and shows it
            yield score
            stack, age = [packed(screen)] * 4, 0
        elif age % policy.config.skip == 0:
            stack = [*stack[1:], packed(screen)]
    yield state.score


def main():
    """Play, and print what the bird passed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkout", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--window", action="store_true")
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--fps", type=float, default=None)
    parser.add_argument("--out", type=Path, help="write the scores into this file too")
    arguments = parser.parse_args()
    policy, out = vecflap.load(arguments.run), arguments.out and arguments.out.absolute()
    torch.set_num_threads(1)
    fps = arguments.fps if arguments.fps is not None else 30.0 * arguments.window
    game = load_game(arguments.checkout, arguments.window, fps)
    scores = list(play(game, policy, arguments.frames))
    *ended, last = scores
    print(
        f"{arguments.frames:,} frames of {Path(game.__file__).name}: {sum(scores):,} pipes,"
        f" {len(ended)} deaths"
    )
    if out:
        command = " ".join(["python examples/play_original.py", *sys.argv[1:]])
        about: dict = {"command": command, "program": arguments.checkout.name, "frames": arguments.frames}
        about |= {
            "rules": policy.config.rules,
            "seed": policy.config.seed,
            "machine": manifest(policy.config),
        }
        out.write_text(json.dumps(about | {"ended_at": ended, "last": last}, indent=1) + "\n")
    print(f"the last game stands at {last}" + (f", the others ended at {ended}" if ended else ""))


if __name__ == "__main__":
    main()
