"""What is opened at all: kinds of files that are read whole, and that open, fetch or run nothing else."""

import re
from pathlib import Path

DEMUXERS = ",".join(
    (
        "mov,matroska,avi,asf,flv,mpeg,mpegts,mxf,gxf,nut,ogg,rm,wtv,dv,ivf,nsv,yuv4mpegpipe",
        "aac,ac3,ac4,eac3,aiff,amr,amrnb,amrwb,ape,au,caf,dsf,dts,dtshd,flac,iff,loas,mlp,mp3,mpc,mpc8,oma,qcp,shn,spdif,tak,truehd,tta,voc",
        "w64,wav,wv,xwma",
        "av1,obu,cavsvideo,dirac,evc,h261,h263,h264,hevc,m4v,mjpeg,mpegvideo,vc1,vvc",
        "apng,gif,bmp_pipe,dds_pipe,exr_pipe,gif_pipe,j2k_pipe,jpeg_pipe,jpegls_pipe,jpegxl_pipe,pam_pipe,pbm_pipe,pcx_pipe,pgm_pipe",
        "png_pipe,ppm_pipe,psd_pipe,qoi_pipe,sgi_pipe,tiff_pipe,webp_anim,webp_pipe",
        "ass,srt,webvtt",
    )
)
"""libav's demuxers that are used. Of the others some follow names inside of a file (hls, dash, concat, imf, sdp, vobsub) or beside it (image2,
mlv), or run it (avisynth)."""

PICTURES = (
    "JPEG",
    "PNG",
    "GIF",
    "BMP",
    "PPM",
    "WEBP",
    "TIFF",
    "AVIF",
    "JPEG2000",
    "DDS",
    "DIB",
    "ICNS",
    "ICO",
    "PCX",
    "PSD",
    "QOI",
    "SGI",
    "TGA",
)
"""Pillow's formats that are used, where it has them. Of the others EPS runs Ghostscript, and WMF draws what it is told to."""

_HEAD_BYTES = 4096
_PLAYLIST = re.compile(
    rb"\A(?:\xef\xbb\xbf)?\s*(?:#EXTM3U|ffconcat version|\[playlist\]|v=0\s|# VobSub index file|<asx\b)|<(?:\w+:)?(?:MPD|CompositionPlaylist|playlist|smil)[\s>]",
    re.IGNORECASE,
)


def libav_options() -> dict[str, str]:
    """Options of an input of libav or ffmpeg with which a file opens no others."""
    return {"protocol_whitelist": "file", "format_whitelist": DEMUXERS}


def is_playlist(path: str | Path) -> bool:
    """Whether a file names others to be played: an HLS, DASH, IMF, SDP or other playlist."""
    with Path(path).open("rb") as file:
        return bool(_PLAYLIST.search(file.read(_HEAD_BYTES)))
