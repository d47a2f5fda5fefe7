"""Where packets go that are kept: moves on the clock of a stream, and the bitstream filters of ffmpeg that make them."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from mmvatool.media.expressions import rising_dts, step_function
from mmvatool.media.packets import Packets, dts_overlap


@dataclass(frozen=True)
class Move:
    """Packets of a stream with a PTS in [first, stop) are kept and moved `shift` earlier; all in ticks of the stream."""

    first: int
    stop: int
    shift: int

    def on_clock(self, scale: Fraction) -> "Move":
        """The same on another clock, of so many ticks for one."""
        return Move(round(self.first * scale), round(self.stop * scale), round(self.shift * scale))


def moves_in_a_row(kept: Sequence[tuple[int, int]]) -> list[Move]:
    """The moves that put the segments one after the other, from 0 on."""
    moves, shown = [], 0
    for first, stop in kept:
        moves.append(Move(first, stop, first - shown))
        shown += stop - first
    return moves


def moves_of_audio(kept: Sequence[tuple[int, int]], video: Packets, audio: Packets | None) -> list[Move]:
    """The moves of the audio packets, without gaps at the joins and without an accumulating offset from the video.

    The audio of each segment starts where that of the segment before ends, with the packet nearest to the exact time: within half a packet.
    """
    if audio is None:
        return []
    pts, durations = audio.pts, audio.durations
    scale = video.tick_s / audio.tick_s
    moves: list[Move] = []
    start, end, stop = Fraction(0), None, 0  # start of the segment in the result, end of the audio so far, index of the next packet
    for segment_first, segment_stop in kept:
        begins, ends = segment_first * scale, segment_stop * scale
        wanted = begins if end is None else begins + end - start
        first = int(np.searchsorted(pts + (durations // 2 if end is not None else 0), float(wanted)))
        first = max(first, stop)
        middles = pts + durations / 2
        gap = first < len(pts) and end is not None and abs(pts[first] - wanted) > durations[first]
        shift = int(pts[first]) - end if first < len(pts) and end is not None and not gap else round(begins - start)
        stop_here = int(np.searchsorted(middles, float(ends if gap or end is None else start + ends - begins + shift)))
        start += ends - begins
        if first < stop_here:
            stop = stop_here
            moves.append(Move(int(pts[first]), int(pts[stop]) if stop < len(pts) else int(pts[-1]) + 1, shift))
            end = int(pts[stop - 1] + durations[stop - 1]) - shift
    return moves


def move_filters(moves: Sequence[Move], overlap: int = 0) -> str:
    """The bitstream filters for these moves. DTS are moved `overlap` ticks earlier, so that they rise at the joins, too."""
    bounds = [move.stop for move in moves[:-1]]
    firsts = step_function("pts", bounds, [move.first for move in moves])
    shifts = step_function("PTS", bounds, [move.shift for move in moves])
    return (
        f"noise=drop='lt(pts,{firsts})+gte(pts,{moves[-1].stop})',setts=pts='PTS-({shifts})':dts='{rising_dts(f'DTS-({shifts})', overlap)}'"
    )


def until(video: Packets, end: int) -> str:
    """One more option for setts: the last frame before a tick lasts until there, as it may be a long one."""
    last = video.pts[(video.pts < end) & ~video.hidden].max()
    return f":duration='if(eq(PTS,{last}),{end - last},DURATION)'"


def subtitle_filters(moves: Sequence[Move]) -> str:
    """The bitstream filters for subtitles: each is trimmed to the first of the kept segments in which it is shown."""
    bounds = [move.stop for move in moves[:-1]]
    firsts, stops, shifts = ([getattr(move, name) for move in moves] for name in ("first", "stop", "shift"))
    drop = f"lte(pts+max(1,duration),{step_function('pts', bounds, firsts)})+gte(pts,{moves[-1].stop})"
    begins = f"max(PTS,{step_function('PTS', bounds, firsts)})"
    pts = f"{begins}-({step_function('PTS', bounds, shifts)})"
    length = f"min(PTS+DURATION,{step_function('PTS', bounds, stops)})-{begins}"
    return f"noise=drop='{drop}',setts=pts='{pts}':dts='{pts}':duration='{length}'"


def moves_overlap(video: Packets, moves: Sequence[Move]) -> int:
    """How far DTS would step back at a join after these moves, in ticks: with a variable rate the reordering delay varies."""
    times = [video.dts[(video.pts >= move.first) & (video.pts < move.stop)] - move.shift for move in moves]
    return dts_overlap([(int(part[0]), int(part[-1])) for part in times])
