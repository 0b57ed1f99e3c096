"""Watch a policy play: in the terminal, in a window, or into a picture file."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from vecflap import draws
from vecflap.config import FRAMES
from vecflap.dqn import choose
from vecflap.evaluate import Policy, games_of, load
from vecflap.picture import paint
from vecflap.ranges import RANGES, check_range
from vecflap.render import braille
from vecflap.replay import Replay
from vecflap.sim import VecFlap
from vecflap.window import FPS, NoWindow, Window

SAVED_FRAMES = 300
"""Frames of a saved animation, unless told otherwise."""


class Scene(NamedTuple):
    """One frame of a game being watched."""

    sim: VecFlap
    q: tuple[float, float]  # of gliding and flapping, before this frame
    flap: bool
    best: int  # pipes of the best game so far


def watch(
    run: Path | None = None,
    *,
    window: bool = False,
    save: Path | None = None,
    seed: int = 0,
    frames: int = 0,
    fps: float = 0.0,
) -> None:
    """Show a run's best policy playing held-out games, one after the other.

    run: a run's folder, a checkpoint file or a bird of the package; None: the newest run in runs/.
    window: with pygame; else in the terminal. save: write a GIF, or a PNG of the last frame, instead.
    frames: stop after so many, 0: go on until Ctrl-C. fps: frames a second, 0: the game's own.
    """
    check_range("frames", frames, 0, 10**9)
    check_range("seed", seed, *RANGES["seed"])
    check_range("fps", fps, 0.0, 1000.0)
    torch.set_num_threads(1)  # one game at a time: more would only get in each other's way
    path = run or newest_run()
    policy = load(path)
    scenes: Iterator[Scene] = play(policy, seed)
    if frames or save:
        scenes = islice(scenes, frames or SAVED_FRAMES)
    fps = fps or FPS.get(policy.config.rules, 30.0)
    if save:
        save_scenes(scenes, save, fps)
    elif window:
        show_in_window(scenes, f"vecflap {path}", fps)
    else:
        show_in_terminal(scenes, f"vecflap  {path}", fps)


def newest_run() -> Path:
    """The run in runs/ that wrote a checkpoint last; without any, the bird of the package."""
    files = list(Path("runs").glob("*/*.safetensors"))
    return max(files, key=lambda file: file.stat().st_mtime).parent if files else Path("flap7")


def play(policy: Policy, seed: int) -> Iterator[Scene]:
    """One game after the other, frame by frame, without end. Of a step of several frames all are shown."""
    skip, best = policy.config.skip, 0
    sim = games_of(replace(policy.config, skip=1), 1, seed, purpose=draws.GAPS_EXAM)
    stacks = Replay(FRAMES + 1, 1, frames=FRAMES)
    yield Scene(sim, (0.0, 0.0), False, best)
    while True:
        stacks.open(sim.frame, -(-sim.age.int() // skip))
        q = policy.q(stacks.latest())
        glide, flap = q[0].tolist()
        for act in [choose(q)] + [torch.zeros(1, dtype=torch.uint8)] * (skip - 1):
            sim.step(act)
            best = max(best, int(sim.score[0]))
            yield Scene(sim, (glide, flap), bool(act[0]), best)
            if sim.term[0]:
                break
        stacks.close(sim.act, sim.rew, sim.term)


def paced(scenes: Iterator[Scene], fps: float) -> Iterator[Scene]:
    """The scenes, each at its time."""
    began = time.monotonic()
    for n, scene in enumerate(scenes):
        time.sleep(max(began + n / fps - time.monotonic(), 0.0))
        yield scene


def show_in_terminal(scenes: Iterator[Scene], title: str, fps: float) -> None:
    """What the network sees, in braille: 64 x 64 pixels are 32 x 16 characters. Ctrl-C ends it."""
    console = Console()
    if not console.is_terminal:
        raise ValueError("watch needs a terminal to play in. Elsewhere: --window, or --save bird.gif.")
    with Live(console=console, auto_refresh=False) as live, contextlib.suppress(KeyboardInterrupt):
        for scene in paced(scenes, fps):
            glide, flap = scene.q
            score, chosen = int(scene.sim.games.score[0]), ("flap " if scene.flap else "glide")
            text = f"{braille(scene.sim.frame[0].numpy())}\n\nscore {score:<6} best {scene.best}\n"
            text += f"{chosen}  Q {glide:6.3f} / {flap:6.3f}"
            live.update(
                Panel(Text(text), title=Text(title), subtitle="Ctrl-C ends", expand=False), refresh=True
            )


def show_in_window(scenes: Iterator[Scene], title: str, fps: float) -> None:
    """The game in colour. Closing the window, Escape or q end it."""
    try:
        with contextlib.closing(Window(title)) as window:
            for scene in scenes:
                if not window.show(painted(scene), fps):
                    break
    except NoWindow as error:
        raise ValueError(f"--window: {error} Without it, watch plays in the terminal.") from None


def save_scenes(scenes: Iterator[Scene], path: Path, fps: float) -> None:
    """Write an animated GIF of all scenes, or a PNG of the last one."""
    try:
        import imageio.v3 as imageio
    except ImportError:
        raise ValueError("--save needs imageio: pip install imageio pillow.") from None
    if path.suffix not in (".gif", ".png"):
        raise ValueError(f"--save {path}: the file's name must end in .gif or .png.")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"--save {path}: there is no folder {path.parent}.")
    every = max(round(fps / 30), 1)  # 30 frames a second are enough for a GIF
    if path.suffix == ".png":
        *_, last = scenes
        imageio.imwrite(path, painted(last))
    else:
        pictures = [painted(scene) for n, scene in enumerate(scenes) if n % every == 0]
        imageio.imwrite(path, np.stack(pictures), duration=1000 * every / fps, loop=0)
    print(f"saved {path}")


def painted(scene: Scene) -> np.ndarray:
    """uint8 [512, 288, 3]: a scene in colour."""
    return paint(scene.sim.rows[0])
