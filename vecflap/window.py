"""A window in which people watch a game. It needs pygame, which is imported when the first one opens."""

import os
from typing import Any

import numpy as np

from vecflap.physics import SCREEN_HEIGHT, SCREEN_WIDTH

FPS = {"flap7": 60.0}
"""Frames a second at which people play the game; 30 all others."""


class NoWindow(ValueError):
    """There can be no window here, and why."""


class Window:
    """One window, that shows pictures at a pace until someone closes it: by its button, Escape or q."""

    def __init__(self, title: str) -> None:
        """NoWindow without pygame or a display."""
        self.pygame = pygame = import_pygame()
        try:
            pygame.display.init()
            if pygame.display.get_driver() in ("dummy", "offscreen") and "SDL_VIDEODRIVER" not in os.environ:
                raise pygame.error("there is no display")
            self.screen = pygame.display.set_mode((SCREEN_WIDTH, SCREEN_HEIGHT), pygame.RESIZABLE)
            pygame.display.set_caption(title)
            self.clock = pygame.time.Clock()
        except pygame.error as error:
            self.close()
            raise NoWindow(f"{error}.") from None

    def show(self, picture: np.ndarray, fps: float) -> bool:
        """Show uint8 [512, 288, 3], 1 / fps seconds after the one before. False once the window is closed."""
        pygame = self.pygame
        if not pygame.display.get_init():
            return False
        for event in pygame.event.get():
            pressed = event.key if event.type == pygame.KEYDOWN else None
            if event.type == pygame.QUIT or pressed in (pygame.K_ESCAPE, pygame.K_q):
                self.close()
                return False
        surface = pygame.surfarray.make_surface(picture.swapaxes(0, 1))
        pygame.transform.scale(surface, self.screen.get_size(), self.screen)
        pygame.display.flip()
        self.clock.tick(fps)
        return True

    def close(self) -> None:
        """Close it, if it is not yet."""
        self.pygame.quit()


def import_pygame() -> Any:
    """pygame, or one line on how to get it."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        import pygame
    except ImportError:
        raise NoWindow("a window needs pygame: pip install pygame-ce.") from None
    return pygame
