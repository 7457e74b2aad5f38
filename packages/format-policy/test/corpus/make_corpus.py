#!/usr/bin/python3
"""Disk image corpus maker: standard library + qemu-img (cryptsetup, mke2fs for a few).

usage: make_corpus.py OUTDIR [--only ids.json] [--list]

Every recipe writes OUTDIR/<id>/disk.img (the image) and, for a few, other files next to it.
The files are sparse; each uses at most 8 MiB of disk.
"""
import argparse
import gzip
import hashlib
import io
import json
import lzma
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import zlib

RECIPES = {}
K = 1024
M = 1024 * K
G = 1024 * M
T = 1024 * G


def R(rid, **meta):
    def deco(fn):
        if rid in RECIPES:
            raise SystemExit('duplicate recipe ' + rid)
        RECIPES[rid] = (fn, meta)
        return fn
    return deco


def prng(seed, n):
    out = bytearray()
    i = 0
    while len(out) < n:
        out += hashlib.sha256(('%s/%d' % (seed, i)).encode()).digest()
        i += 1
    return bytes(out[:n])


class W(object):
    """One recipe's folder."""

    def __init__(self, folder):
        self.dir = folder

    def path(self, name='disk.img'):
        return os.path.join(self.dir, name)

    def run(self, *argv, **kw):
        env = dict(os.environ, LC_ALL='C', TZ='UTC')
        env.update(kw.get('env', {}))
        # qemu-img measures the processor for LUKS, and gives up where others keep it busy.
        for _ in range(20):
            r = subprocess.run(argv, cwd=self.dir, env=env, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, input=kw.get('input'))
            if not r.returncode or b'CPU usage' not in r.stderr:
                break
        if r.returncode:
            raise RuntimeError('%r: %s' % (argv, r.stderr.decode('utf8', 'replace')))
        return r.stdout

    def put(self, data, name='disk.img'):
        with open(self.path(name), 'wb') as f:
            f.write(data)

    def patch(self, off, data, name='disk.img'):
        with open(self.path(name), 'r+b') as f:
            if off < 0:
                f.seek(off, 2)
            else:
                f.seek(off)
            f.write(data)

    def get(self, off=0, n=-1, name='disk.img'):
        with open(self.path(name), 'rb') as f:
            if off < 0:
                f.seek(off, 2)
            else:
                f.seek(off)
            return f.read(n)

    def size(self, name='disk.img'):
        return os.path.getsize(self.path(name))

    def cut(self, size, name='disk.img'):
        """Set the length (shorter or, sparse, longer)."""
        with open(self.path(name), 'r+b') as f:
            f.truncate(size)

    def append(self, data, name='disk.img'):
        with open(self.path(name), 'ab') as f:
            f.write(data)

    def rm(self, name):
        os.unlink(self.path(name))


# ---------------------------------------------------------------- guest data

def guest(w, size, seed, name='src.raw'):
    """A sparse raw disk: a few blocks of noise, a marker text at its start."""
    with open(w.path(name), 'wb') as f:
        f.truncate(size)
        mark = ('guest data %s\n' % seed).encode()
        f.write(mark[:size])
        for k, off in enumerate((70 * K, 300 * K, 640 * K)):
            if off + 3000 <= size:
                f.seek(off)
                f.write(prng('%s-%d' % (seed, k), 3000))


def mk(w, fmt, opts=None, size=M, seed='g', extra=(), data=True):
    """Make disk.img with qemu-img in format fmt, then take the randomness out."""
    o = ['-o', opts] if opts else []
    if data:
        guest(w, size, seed)
        w.run('qemu-img', 'convert', '-f', 'raw', '-O', fmt, *o, *extra, 'src.raw', 'disk.img')
        w.rm('src.raw')
    else:
        w.run('qemu-img', 'create', '-q', '-f', fmt, *o, *extra, 'disk.img', str(size))
    settle(w, fmt)


def crc32c(data):
    tab = []
    for n in range(256):
        c = n
        for _ in range(8):
            c = (c >> 1) ^ 0x82F63B78 if c & 1 else c >> 1
        tab.append(c)
    c = 0xffffffff
    for b in data:
        c = tab[(c ^ b) & 255] ^ (c >> 8)
    return c ^ 0xffffffff


def vpc_checksum(sector, at):
    s = bytearray(sector)
    s[at:at + 4] = b'\0\0\0\0'
    return struct.pack('>I', (~sum(s)) & 0xffffffff)


def vpc_fix(footer):
    f = bytearray(footer)
    f[24:28] = struct.pack('>I', 0x11223344)
    f[68:84] = bytes(range(16))
    f[64:68] = vpc_checksum(f, 64)
    return bytes(f)


def guid(text):
    a, b, c, d, e = text.split('-')
    return struct.pack('<IHH', int(a, 16), int(b, 16), int(c, 16)) + bytes.fromhex(d + e)


VHDX_META = guid('8B7CA206-4790-4B9A-B8FE-575F050F886E')
VHDX_BAT = guid('2DC27766-F623-4200-9D64-115E9BFD4A08')
VHDX_VDS = guid('2FA54224-CD1B-4876-B211-5DBED83BF4B8')
VHDX_P83 = guid('BECA12AB-B2E6-4523-93EF-C309E000C746')
VHDX_FPAR = guid('CAA16737-FA36-4D43-B3B6-33F0AA44E76B')
VHDX_PARENT = guid('A8D35F2D-B30B-454D-ABF7-D3D84834AB0C')


def vhdx_regions(w):
    hdr = w.get(192 * K, 64 * K)
    n = struct.unpack('<I', hdr[8:12])[0]
    return {hdr[16 + 32 * i:32 + 32 * i]: struct.unpack('<QI', hdr[32 + 32 * i:44 + 32 * i]) for i in range(n)}


def vhdx_items(w):
    """{item guid: (offset of its table entry, absolute offset of the item, length)}"""
    base = vhdx_regions(w)[VHDX_META][0]
    tab = w.get(base, 64 * K)
    n = struct.unpack('<H', tab[10:12])[0]
    out = {}
    for i in range(n):
        e = 32 + 32 * i
        off, ln = struct.unpack('<II', tab[e + 16:e + 24])
        out[tab[e:e + 16]] = (base + e, base + off, ln)
    return out


def vhdx_retable(w):
    """Recompute the checksum of both region tables."""
    for at in (192 * K, 256 * K):
        t = bytearray(w.get(at, 64 * K))
        t[4:8] = b'\0\0\0\0'
        t[4:8] = struct.pack('<I', crc32c(bytes(t)))
        w.patch(at, bytes(t))


def settle(w, fmt, name='disk.img'):
    """Replace the random identifiers which qemu-img puts in by fixed ones."""
    if fmt == 'vdi':
        w.patch(0x188, bytes(range(1, 33)), name)
    elif fmt == 'vpc':
        tail = w.get(-512, 512, name)
        if tail[:8] == b'conectix':
            w.patch(-512, vpc_fix(tail), name)
        head = w.get(0, 512, name)
        if head[:8] == b'conectix':
            w.patch(0, vpc_fix(head), name)
    elif fmt == 'vmdk':
        head = w.get(0, 16 * K, name)
        m = re.search(rb'(?m)^CID=([0-9a-f]{1,8})$', head)
        if m:
            a = head.index(b'# Disk DescriptorFile')
            e = head.find(b'\0', a)
            e = len(head) if e < 0 else e
            text = head[a:m.start(1)] + b'01234567' + head[m.end(1):e]
            if a == 0:
                w.put(text, name)
            else:
                w.patch(a, text, name)
    elif fmt == 'vhdx':
        seqs = [struct.unpack('<Q', w.get(at + 8, 8, name))[0] for at in (64 * K, 128 * K)]
        for at, seq in ((64 * K, seqs[0]), (128 * K, seqs[1])):
            h = bytearray(w.get(at, 4 * K, name))
            h[8:16] = struct.pack('<Q', 1001 if seq == max(seqs) else 1000)
            h[16:32] = bytes(range(16))
            h[32:48] = bytes(range(16, 32))
            h[48:64] = b'\0' * 16
            h[4:8] = b'\0\0\0\0'
            h[4:8] = struct.pack('<I', crc32c(bytes(h)))
            w.patch(at, bytes(h), name)
        log = struct.unpack('<Q', w.get(64 * K + 72, 8, name))[0]
        w.patch(log, b'\0' * 64 * K, name)
        w.patch(vhdx_items(w)[VHDX_P83][1], bytes(range(32, 48)), name)


def snapshot_dates(w):
    """Give the internal snapshots of a qcow2 fixed dates."""
    n, at = struct.unpack('>IQ', w.get(60, 12))
    for i in range(n):
        e = w.get(at, 40)
        idn, nn = struct.unpack('>HH', e[12:16])
        w.patch(at + 16, struct.pack('>II', 1700000000 + i, 0))
        at += (40 + struct.unpack('>I', e[36:40])[0] + idn + nn + 7) // 8 * 8


# ---------------------------------------------------------------- qcow2 by hand

def qcow2(w, version=3, cluster_bits=16, size=M, backing=b'', backing_off=None, backing_len=None,
          crypt=0, l1_size=None, l1_off=None, rt_off=None, rt_clusters=1, nsnap=0, snap_off=0,
          incompat=0, compat=0, autoclear=0, refcount_order=4, header_len=None, compression=0,
          exts=(), seed='hand', magic=b'QFI\xfb', body=True, total=None, pad_head=None):
    """A small valid qcow2 (one data cluster) with any header field overridden."""
    cs = 1 << 16
    hl = (104 if version >= 3 else 72) if header_len is None else header_len
    if version >= 3 and header_len is None and (compression or incompat & 8):
        hl = 112
    blob = b''
    for t, d in exts:
        blob += struct.pack('>II', t, len(d)) + d + b'\0' * (-len(d) % 8)
    blob += struct.pack('>II', 0, 0)
    fixed = 72 if version < 3 else max(104, 112 if hl == 112 else 104)
    if version >= 3 and isinstance(hl, int) and 104 <= hl < 4096:
        fixed = hl
    boff = fixed + len(blob) if backing and backing_off is None else (backing_off or 0)
    h = struct.pack('>4sIQIIQIIQQIIQ', magic, version, boff,
                    len(backing) if backing_len is None else backing_len, cluster_bits, size, crypt,
                    1 if l1_size is None else l1_size, 3 * cs if l1_off is None else l1_off,
                    cs if rt_off is None else rt_off, rt_clusters, nsnap, snap_off)
    if version >= 3:
        h += struct.pack('>QQQII', incompat, compat, autoclear, refcount_order, hl)
        h += struct.pack('>B7x', compression)
        h = h[:fixed] if len(h) >= fixed else h + b'\0' * (fixed - len(h))
    img = bytearray(h + blob)
    if backing:
        at = boff if backing_off is None else min(boff, 4096)
        if at > len(img):
            img += b'\0' * (at - len(img))
        img[at:at + len(backing)] = backing
    if body:
        img += b'\0' * (cs - len(img))
        img += struct.pack('>Q', 2 * cs) + b'\0' * (cs - 8)
        img += b''.join(struct.pack('>H', 1) for _ in range(6)) + b'\0' * (cs - 12)
        img += struct.pack('>Q', 4 * cs | 1 << 63) + b'\0' * (cs - 8)
        img += struct.pack('>QQ', 5 * cs | 1 << 63, 0) + b'\0' * (cs - 16)
        img += (('hand made %s\n' % seed).encode() + prng(seed, 4096)).ljust(cs, b'\0')
    if total is not None:
        img = img[:total] if len(img) >= total else img + b'\0' * (total - len(img))
    w.put(bytes(img))


# ---------------------------------------------------------------- vmdk by hand

GD_AT_END = 0xffffffffffffffff


def desc(ct='monolithicSparse', extents=('RW 2048 SPARSE "disk.img"',), cid='01234567', pcid='ffffffff',
         hint=None, lead='# Disk DescriptorFile\n', more='', nl='\n', ddb=True, version='1'):
    t = lead
    if version is not None:
        t += 'version=%s\n' % version
    t += 'CID=%s\nparentCID=%s\n' % (cid, pcid)
    if ct is not None:
        t += 'createType="%s"\n' % ct
    if hint is not None:
        t += 'parentFileNameHint="%s"\n' % hint
    t += '\n# Extent description\n' + ''.join(e + '\n' for e in extents) + '\n'
    if ddb:
        t += ('# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = "4"\nddb.geometry.cylinders = "2"\n'
              'ddb.geometry.heads = "16"\nddb.geometry.sectors = "63"\nddb.adapterType = "ide"\n')
    t += more
    return t.replace('\n', nl).encode('utf8')


def vmdk_header(version=1, flags=1, capacity=2048, grain=128, desc_sec=1, desc_num=20, gtes=512,
                rgd=0, gd=21, overhead=128, compress=0, magic=b'KDMV'):
    h = struct.pack('<4sIIQQQQIQQQB4sH', magic, version, flags, capacity, grain, desc_sec, desc_num,
                    gtes, rgd, gd, overhead, 0, b'\n \r\n', compress)
    return h + b'\0' * (512 - len(h))


def vmdk(w, d=None, seed='vm', footer=None, foot=None, name='disk.img', marker=(1, 0, 3), eos=(0, 0, 0),
         desc_at=512, **hdr):
    """A hosted sparse extent with descriptor bytes d; footer=True: grain directory at the end.

    foot: header fields of the footer (default: those of the header with the true gd)."""
    d = desc() if d is None else d
    real = dict(hdr)
    if footer:
        hdr = dict(hdr, gd=GD_AT_END)
    n = max(20, (len(d) + 511) // 512)
    if footer or hdr.get('desc_num') or n == 20:
        pass
    else:
        hdr['desc_num'] = n
    head = vmdk_header(**hdr)
    img = bytearray(256 * 512)
    img[0:512] = head
    img[desc_at:desc_at + len(d)] = d
    base = 21 if n == 20 and desc_at < 11 * K else 100
    struct.pack_into('<I', img, base * 512, base + 1)
    struct.pack_into('<I', img, (base + 1) * 512, 128)
    img[128 * 512:256 * 512] = (('grain %s\n' % seed).encode() + prng(seed, 4096)).ljust(128 * 512, b'\0')
    if base == 100 and not footer and 'gd' not in hdr:
        img[0:512] = vmdk_header(**dict(hdr, gd=100))
    if footer:
        f = dict(real, gd=base)
        f.update(foot or {})
        img += struct.pack('<QII', *marker).ljust(512, b'\0')
        img += vmdk_header(**f)
        img += struct.pack('<QII', *eos).ljust(512, b'\0')
    w.put(bytes(img), name)


def vmdk_stream(w, d=None, seed='so', gd_at_end=True, foot=None, capacity=2048, eos=(0, 0, 0), marker=(1, 0, 3)):
    """streamOptimized the way VMware's tools write it: compressed grains, GT, GD, footer, end of stream."""
    d = desc('streamOptimized', ('RW %d SPARSE "disk.vmdk"' % capacity,)) if d is None else d
    common = dict(version=3, flags=0x30001, compress=1, capacity=capacity)
    img = bytearray(128 * 512)
    img[512:512 + len(d)] = d
    gt = [0] * 512
    for i, lba in ((0, 0), (3, 384)):
        z = zlib.compress((('stream %s %d\n' % (seed, i)).encode() + prng(seed + str(i), 2000)).ljust(65536, b'\0'), 6)
        gt[i] = len(img) // 512
        g = struct.pack('<QI', lba, len(z)) + z
        img += g + b'\0' * (-len(g) % 512)
    img += struct.pack('<QII', 4, 0, 1).ljust(512, b'\0')
    gts = len(img) // 512
    img += struct.pack('<512I', *gt)
    img += struct.pack('<QII', 1, 0, 2).ljust(512, b'\0')
    gds = len(img) // 512
    img += struct.pack('<I', gts).ljust(512, b'\0')
    img[0:512] = vmdk_header(gd=GD_AT_END if gd_at_end else gds, **common)
    if gd_at_end:
        f = dict(common, gd=gds)
        f.update(foot or {})
        img += struct.pack('<QII', *marker).ljust(512, b'\0')
        img += vmdk_header(**f)
        img += struct.pack('<QII', *eos).ljust(512, b'\0')
    w.put(bytes(img))


# ---------------------------------------------------------------- partition tables, file systems

def mbr(parts=((0x80, 0x83, 64, 1984),), code=b'', sig=b'\x55\xaa', first_chs=(0, 2, 0)):
    s = bytearray(512)
    s[:len(code)] = code
    for i, p in enumerate(parts):
        chs = first_chs if p[1] == 0xee else (0x20, 0x21, 0)
        s[446 + 16 * i:462 + 16 * i] = struct.pack('<B3BB3BII', p[0], *chs, p[1], 0xfe, 0xff, 0xff, p[2], p[3])
    s[510:512] = sig
    return bytes(s)


def gpt(w, size=M, extra_parts=(), first_chs=(0, 2, 0), start=1, seed='gpt'):
    n = size // 512
    img = bytearray(size)
    img[0:512] = mbr(((0, 0xee, start, n - 1),) + tuple(extra_parts), first_chs=first_chs)
    ent = guid('0FC63DAF-8483-4772-8E79-3D69D8477DE4') + bytes(range(16))
    ent += struct.pack('<QQQ', 64, n - 64, 0) + 'root'.encode('utf-16le').ljust(72, b'\0')
    tab = ent.ljust(128 * 128, b'\0')
    crc = zlib.crc32(tab)

    def head(me, other, tablba):
        h = bytearray(struct.pack('<8sIIIIQQQQ16sQIII', b'EFI PART', 0x10000, 92, 0, 0, me, other, 34, n - 34,
                                  bytes(range(16, 32)), tablba, 128, 128, crc))
        h[16:20] = struct.pack('<I', zlib.crc32(bytes(h)))
        return bytes(h).ljust(512, b'\0')
    img[512:1024] = head(1, n - 1, 2)
    img[1024:1024 + len(tab)] = tab
    img[-512:] = head(n - 1, 1, n - 33)
    img[-33 * 512:-512] = tab
    img[64 * 512:64 * 512 + 2000] = prng(seed, 2000)
    w.put(bytes(img))


def fat(size=M, media=0xf8, nfats=2, sig=b'\x55\xaa'):
    s = bytearray(size)
    s[0:3] = b'\xeb\x3c\x90'
    s[3:11] = b'CONFTEST'
    s[11:36] = struct.pack('<HBHBHHBHHHII', 512, 1, 1, nfats, 512, size // 512, media, 8, 63, 255, 0, 0)
    s[36:62] = struct.pack('<BBBI11s8s', 0x80, 0, 0x29, 0x12345678, b'CONF       ', b'FAT16   ')
    s[510:512] = sig
    for i in range(nfats):
        at = 512 + i * 8 * 512
        s[at:at + 4] = bytes([media]) + b'\xff\xff\xff'
    return bytes(s)


def iso(size=512 * K, ident=b'CD001', vtype=1, block=2048, blocks=None, seed='iso'):
    s = bytearray(size)
    n = size // 2048 if blocks is None else blocks
    p = bytearray(2048)
    p[0] = vtype
    p[1:6] = ident
    p[6] = 1
    p[8:40] = b'LINUX'.ljust(32)
    p[40:72] = b'CONF_ISO'.ljust(32)
    p[80:88] = struct.pack('<I', n & 0xffffffff) + struct.pack('>I', n & 0xffffffff)
    p[120:124] = p[124:128] = b'\x01\0\0\x01'
    p[128:132] = struct.pack('<H', block) + struct.pack('>H', block)
    p[156:190] = struct.pack('<BBI', 34, 0, 20) + struct.pack('>I', 20) + struct.pack('<I', 2048) + \
        struct.pack('>I', 2048) + b'\x7e\x01\x01\0\0\0\0\x02\0\0\x01\0\0\x01\x01\0'
    t = b'\xffCD001\x01'.ljust(2048, b'\0')
    s[32768:34816] = p
    s[34816:36864] = t
    s[60 * 1024:60 * 1024 + 1000] = prng(seed, 1000)
    return bytes(s)


# ---------------------------------------------------------------- luks, others

def luks1(w, version=1, cipher=b'aes', mode=b'xts-plain64', hsh=b'sha256', payload=4096, key_bytes=64, active=(0,),
          iters=1000, size=None, uuid=b'11111111-2222-3333-4444-555555555555', seed='luks'):
    h = struct.pack('>6sH32s32s32sII20s32sI40s', b'LUKS\xba\xbe', version, cipher, mode, hsh, payload, key_bytes,
                    prng(seed + 'd', 20), prng(seed + 's', 32), iters, uuid)
    for i in range(8):
        on = i in active
        h += struct.pack('>II32sII', 0x00AC71F3 if on else 0xDEAD, iters if on else 0,
                         prng(seed + str(i), 32) if on else b'', 8 + 504 * i, 4000)
    total = payload * 512 + 256 * K if size is None else size
    with open(w.path(), 'wb') as f:
        f.truncate(total)
        f.write(h[:total])
        if total > payload * 512 + 4096:
            f.seek(payload * 512)
            f.write(prng(seed + 'payload', 4096))


def tar_of(members, fmt=tarfile.USTAR_FORMAT):
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode='w', format=fmt) as t:
        for n, data in members:
            ti = tarfile.TarInfo(n)
            ti.size = len(data)
            ti.mtime = 0
            t.addfile(ti, io.BytesIO(data))
    return b.getvalue()


def gz(data, name=''):
    b = io.BytesIO()
    with gzip.GzipFile(filename=name, mode='wb', fileobj=b, mtime=0) as f:
        f.write(data)
    return b.getvalue()


def raw(n, seed):
    return prng(seed, n)


def sparse(w, size, data=b'', at=0):
    with open(w.path(), 'wb') as f:
        f.truncate(size)
        f.seek(at)
        f.write(data)


def vhd_footer(kind=2, size=M, data_off=0xffffffffffffffff, cookie=b'conectix', bad=False, orig=None):
    f = bytearray(512)
    f[0:8] = cookie
    struct.pack_into('>IIQI4sI4sQQHBBI', f, 8, 2, 0x10000, data_off, 0x11223344, b'conf', 0x10000, b'Wi2k',
                     size if orig is None else orig, size, 30, 4, 17, kind)
    f[68:84] = bytes(range(16))
    f[64:68] = vpc_checksum(f, 64)
    if bad:
        f[64] ^= 0x5a
    return bytes(f)


def vhd_dynamic(w, size=M, kind=3, seed='vhd', block=2 * M, bad=False, bat=1, tab_off=1536, parent=b'', foot=True,
                head=True, parent_name=''):
    """A dynamic (kind 3) or differencing (kind 4) VHD with one allocated block."""
    foot_b = vhd_footer(kind, size, 512, bad=bad)
    h = bytearray(1024)
    struct.pack_into('>8sQQIII', h, 0, b'cxsparse', 0xffffffffffffffff, tab_off, 0x10000, bat, block)
    if kind == 4:
        h[40:56] = bytes(range(50, 66))
        nm = parent_name.encode('utf-16be')[:512]
        h[64:64 + len(nm)] = nm
    h[36:40] = vpc_checksum(h, 36)
    img = bytearray((foot_b if head else b'\0' * 512) + bytes(h))
    img += struct.pack('>I', 4).ljust(512, b'\xff')
    img += b'\xff' * 512
    blk = (('vhd block %s\n' % seed).encode() + prng(seed, 3000)).ljust(64 * K, b'\0')
    with open(w.path(), 'wb') as f:
        f.write(img)
        f.write(blk)
        f.truncate(4 * 512 + 512 + block)
        if foot:
            f.seek(0, 2)
            f.write(foot_b)


def vdi(w, **kw):
    mk(w, 'vdi', seed=kw.pop('seed', 'vdi'), size=kw.pop('size', M))
    for off, val in kw.pop('at', {}).items():
        w.patch(off, val)


def vhdx(w, seed='vhdx', size=M, at=None, opts='block_size=1M,log_size=1M'):
    mk(w, 'vhdx', opts, size=size, seed=seed)
    for off, val in (at or {}).items():
        w.patch(off, val)


def le32(x):
    return struct.pack('<I', x & 0xffffffff)


def le64(x):
    return struct.pack('<Q', x & 0xffffffffffffffff)


def be32(x):
    return struct.pack('>I', x & 0xffffffff)


def be64(x):
    return struct.pack('>Q', x & 0xffffffffffffffff)


def qpatched(w, opts, patches, size=M, seed='q'):
    mk(w, 'qcow2', opts, size=size, seed=seed)
    for off, val in patches:
        w.patch(off, val)


def trunc(w, fmt, length, opts=None, size=M, seed='trunc'):
    mk(w, fmt, opts, size=size, seed=seed)
    w.cut(length)


def backed(w, target, fmt=None, opts=None, size=M):
    """A qcow2 with a backing reference that is not opened when it is made."""
    a = ['-u', '-b', target]
    if fmt:
        a += ['-F', fmt]
    o = ['-o', opts] if opts else []
    if fmt is None:
        # qemu-img refuses to leave the format out, so write the header by hand
        qcow2(w, backing=target.encode(), size=size, l1_size=1)
    else:
        w.run('qemu-img', 'create', '-q', '-f', 'qcow2', *o, *a, 'disk.img', str(size))


# ================================================================ recipes

R('raw-1byte')(lambda w: w.put(b'A'))
R('raw-1byte-nul')(lambda w: w.put(b'\0'))
R('raw-511-zeros')(lambda w: w.put(b'\0' * 511))
R('raw-512-zeros')(lambda w: w.put(b'\0' * 512))
R('raw-512-noise')(lambda w: w.put(raw(512, 'n512')))
R('raw-513-noise')(lambda w: w.put(raw(513, 'n513')))
R('raw-64k-noise')(lambda w: w.put(raw(64 * K, 'n64k')))
R('raw-1m-noise')(lambda w: w.put(raw(M, 'n1m')))
R('raw-1m-plus-1')(lambda w: w.put(raw(64 * K, 'n1m1').ljust(M + 1, b'\1')))
R('raw-sparse-16m')(lambda w: sparse(w, 16 * M, raw(4096, 'sp16'), 5 * M))
R('raw-sparse-1t')(lambda w: sparse(w, T, raw(4096, 'sp1t'), 700 * G))
R('raw-sparse-1t-odd')(lambda w: sparse(w, T + 100, b'end', T + 97))
R('raw-text-ascii')(lambda w: w.put(b'just a plain text file, not a disk\n' * 40))
R('raw-text-then-utf8')(lambda w: w.put(b'#!/bin/sh\n# plain ASCII for the first sector\n'.ljust(700, b'#') + '\nécho fünf\n'.encode() * 50))
R('raw-text-3bytes')(lambda w: w.put(b'abc'))
R('raw-text-600-then-binary')(lambda w: w.put(b'text ' * 120 + raw(4000, 'tb')))
R('raw-swap')(lambda w: sparse(w, M, b'SWAPSPACE2', 4086))
R('raw-qemu-create')(lambda w: mk(w, 'raw', None, seed='rawq'))
R('raw-elf')(lambda w: w.put(b'\x7fELF\x02\x01\x01' + raw(8000, 'elf')))
R('qcow2-v3-empty')(lambda w: mk(w, 'qcow2', None, data=False))
R('qcow2-v3-size0')(lambda w: mk(w, 'qcow2', None, size=0, data=False))
R('qcow2-cluster-512')(lambda w: mk(w, 'qcow2', 'cluster_size=512', seed='c512'))
R('qcow2-refcount-1')(lambda w: mk(w, 'qcow2', 'refcount_bits=1', seed='rc1'))
R('qcow2-extended-l2')(lambda w: mk(w, 'qcow2', 'extended_l2=on,cluster_size=64k', seed='el2'))
R('qcow2-prealloc-metadata')(lambda w: mk(w, 'qcow2', 'preallocation=metadata', data=False))
R('qcow2-prealloc-falloc')(lambda w: mk(w, 'qcow2', 'preallocation=falloc', data=False))
R('qcow2-snapshot')(lambda w: (mk(w, 'qcow2', None, seed='sn'), w.run('qemu-img', 'snapshot', '-c', 'one', 'disk.img'), snapshot_dates(w)))
R('qcow2-two-snapshots-v2')(lambda w: (mk(w, 'qcow2', 'compat=0.10', seed='sn2'), w.run('qemu-img', 'snapshot', '-c', 'a', 'disk.img'), w.run('qemu-img', 'snapshot', '-c', 'b', 'disk.img'), snapshot_dates(w)))
R('qcow2-bitmap')(lambda w: (mk(w, 'qcow2', None, seed='bm'), w.run('qemu-img', 'bitmap', '--add', 'disk.img', 'b0')))
R('qcow2-luks-flag-no-ext')(lambda w: qcow2(w, crypt=2, seed='luksflag'))
R('qcow2-crypt-unknown')(lambda w: qcow2(w, crypt=7, seed='crypt7'))
R('qcow2-1g-virtual')(lambda w: mk(w, 'qcow2', None, size=G, seed='1g'))
R('qcow2-1g-plus-512')(lambda w: mk(w, 'qcow2', None, size=G + 512, data=False))
R('qcow2-5g-virtual')(lambda w: mk(w, 'qcow2', None, size=5 * G, data=False))
R('qcow2-32t-virtual')(lambda w: mk(w, 'qcow2', 'cluster_size=2M', size=32 * T, data=False))
R('qcow2-1e-virtual')(lambda w: mk(w, 'qcow2', 'cluster_size=2M', size=1024 * 1024 * T // 64, data=False))
R('qcow2-inside-is-evil-qcow2')(lambda w: (qcow2(w, backing=b'/etc/passwd', total=64 * K, body=False), os.rename(w.path(), w.path('inner.raw')), w.run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', 'inner.raw', 'disk.img'), w.rm('inner.raw')))
R('qcow2-amended-to-v3')(lambda w: (mk(w, 'qcow2', 'compat=0.10', seed='am'), w.run('qemu-img', 'amend', '-f', 'qcow2', '-o', 'compat=1.1', 'disk.img')))
R('qcow2-amended-to-v2')(lambda w: (mk(w, 'qcow2', None, seed='am2'), w.run('qemu-img', 'amend', '-f', 'qcow2', '-o', 'compat=0.10', 'disk.img')))
R('qcow2-backing-relative')(lambda w: backed(w, 'other.raw', 'raw'))
R('qcow2-backing-relative-present')(lambda w: (w.put(raw(64 * K, 'base').ljust(M, b'\0'), 'other.raw'), backed(w, 'other.raw', 'raw')))
R('qcow2-backing-nofmt')(lambda w: backed(w, '/etc/passwd'))
R('qcow2-backing-fmt-v2')(lambda w: backed(w, '/etc/passwd', 'raw', 'compat=0.10'))
R('qcow2-backing-json')(lambda w: backed(w, 'json:{"driver":"raw","file":{"driver":"file","filename":"/etc/passwd"}}', 'raw'))
R('qcow2-backing-json-nofmt')(lambda w: backed(w, 'json:{"driver":"raw","file":{"driver":"file","filename":"/etc/passwd"}}'))
R('qcow2-backing-file-url')(lambda w: backed(w, 'file:/etc/passwd', 'raw'))
R('qcow2-backing-self')(lambda w: qcow2(w, backing=b'disk.img', seed='self'))
R('qcow2-backing-offset-zero-len')(lambda w: qcow2(w, backing_off=300, backing_len=0, seed='b0'))
R('qcow2-backing-len-1024')(lambda w: qcow2(w, backing=b'/' + b'a' * 1023, seed='b1024'))
R('qcow2-backing-len-1023')(lambda w: qcow2(w, backing=b'/' + b'a' * 1022, seed='b1023'))
R('qcow2-backing-off-far')(lambda w: qcow2(w, backing_off=1 << 40, backing_len=11))
R('qcow2-backing-off-high-bit')(lambda w: qcow2(w, backing_off=1 << 63, backing_len=11))
R('qcow2-backing-len-no-offset')(lambda w: qcow2(w, backing_off=0, backing_len=11, seed='nooff'))
R('qcow2-backing-newline-name')(lambda w: qcow2(w, backing=b'a\nb"c\\d', seed='nl'))
R('qcow2-backing-nonutf8-name')(lambda w: qcow2(w, backing=b'\xff\xfe/etc', seed='nu'))
R('qcow2-backing-ext-only')(lambda w: qcow2(w, exts=((0xE2792ACA, b'raw'),), seed='extonly'))
R('qcow2-ext-data-file-raw')(lambda w: (w.run('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'data_file=data.raw,data_file_raw=on', 'disk.img', '1M')))
R('qcow2-data-file-etc-passwd')(lambda w: qcow2(w, incompat=4, autoclear=2, exts=((0x44415441, b'/etc/passwd'),), header_len=112))
R('qcow2-data-file-bit-no-name')(lambda w: qcow2(w, incompat=4, header_len=112))
R('qcow2-data-file-json')(lambda w: qcow2(w, incompat=4, autoclear=2, header_len=112, exts=((0x44415441, b'json:{"driver":"raw","file":{"driver":"file","filename":"/etc/passwd"}}'),)))
R('qcow2-v2-data-file-ext')(lambda w: qcow2(w, version=2, exts=((0x44415441, b'/etc/passwd'),), seed='v2df'))
R('qcow2-dirty-bit')(lambda w: qpatched(w, None, [(79, b'\x01')], seed='dirty'))
R('qcow2-corrupt-bit')(lambda w: qpatched(w, None, [(79, b'\x02')], seed='corr'))
R('qcow2-dirty-and-corrupt')(lambda w: qpatched(w, None, [(79, b'\x03')], seed='dc'))
R('qcow2-incompat-bit3-no-type')(lambda w: qpatched(w, None, [(79, b'\x08')], seed='b3'))
R('qcow2-incompat-bit5')(lambda w: qpatched(w, None, [(79, b'\x20')], seed='b5'))
R('qcow2-incompat-bit7')(lambda w: qpatched(w, None, [(79, b'\x80')], seed='b7'))
R('qcow2-incompat-bit8')(lambda w: qpatched(w, None, [(78, b'\x01')], seed='b8'))
R('qcow2-incompat-bit63')(lambda w: qpatched(w, None, [(72, b'\x80')], seed='b63'))
R('qcow2-compat-unknown-bit')(lambda w: qpatched(w, None, [(80, b'\x80')], seed='cu'))
R('qcow2-version-0')(lambda w: qcow2(w, version=0))
R('qcow2-version-4')(lambda w: qcow2(w, version=4))
R('qcow2-version-ff')(lambda w: qpatched(w, None, [(4, b'\xff\xff\xff\xff')], seed='vff'))
R('qcow2-v2-ext-at-72')(lambda w: qcow2(w, version=2, exts=((0x6803f857, b'\0' * 48),), seed='v2ext'))
R('qcow2-cluster-bits-0')(lambda w: qcow2(w, cluster_bits=0))
R('qcow2-cluster-bits-8')(lambda w: qcow2(w, cluster_bits=8))
R('qcow2-cluster-bits-22')(lambda w: qcow2(w, cluster_bits=22))
R('qcow2-refcount-order-7')(lambda w: qcow2(w, refcount_order=7))
R('qcow2-header-len-103')(lambda w: qcow2(w, header_len=103))
R('qcow2-header-len-4096')(lambda w: qcow2(w, header_len=4096))
R('qcow2-size-1')(lambda w: qcow2(w, size=1, seed='s1'))
R('qcow2-size-2p63-minus-512')(lambda w: qcow2(w, size=(1 << 63) - 512))
R('qcow2-size-2p63')(lambda w: qcow2(w, size=1 << 63))
R('qcow2-size-2p64-minus-1')(lambda w: qcow2(w, size=(1 << 64) - 1))
R('qcow2-size-beyond-l1')(lambda w: qcow2(w, size=2 * T, l1_size=1))
R('qcow2-l1-size-neg')(lambda w: qcow2(w, l1_size=0xffffffff))
R('qcow2-l1-offset-unaligned')(lambda w: qcow2(w, l1_off=0x30001))
R('qcow2-l1-offset-eof')(lambda w: qcow2(w, l1_off=0x7000000000000000))
R('qcow2-l1-offset-zero')(lambda w: qcow2(w, l1_off=0, l1_size=1))
R('qcow2-rt-offset-unaligned')(lambda w: qcow2(w, rt_off=0x10200))
R('qcow2-ext-unknown')(lambda w: qcow2(w, exts=((0x12345678, b'hello'),), seed='unk'))
R('qcow2-feature-table-odd')(lambda w: qcow2(w, exts=((0x6803f857, b'\x00\x05sneaky'.ljust(48, b'\0')),), seed='ft'))
R('qcow2-l2-points-eof')(lambda w: (qcow2(w, seed='l2eof'), w.patch(0x40000, be64(0x0000_7000_0000_0000 | 1 << 63))))
R('qcow2-l2-points-header')(lambda w: (qcow2(w, seed='l2h'), w.patch(0x40000, be64(1 << 63))))
R('qcow2-tiny-300-data-file-passwd')(lambda w: qcow2(w, incompat=4, autoclear=2, header_len=112, exts=((0x44415441, b'/etc/passwd'),), total=300, body=False))
R('qcow2-magic-only-4')(lambda w: w.put(b'QFI\xfb'))
R('qcow2-magic-lower')(lambda w: qcow2(w, magic=b'qfi\xfb'))
R('qcow2-shifted-512')(lambda w: (qcow2(w, seed='sh'), w.put(b'\0' * 512 + w.get())))
R('qcow2-trunc-5')(lambda w: trunc(w, 'qcow2', 5))
R('qcow2-trunc-71')(lambda w: trunc(w, 'qcow2', 71))
R('qcow2-trunc-200')(lambda w: trunc(w, 'qcow2', 200))
R('qcow2-trunc-512')(lambda w: trunc(w, 'qcow2', 512))
R('qcow2-trunc-513')(lambda w: trunc(w, 'qcow2', 513))
R('qcow2-trunc-196608')(lambda w: trunc(w, 'qcow2', 196608))
R('qcow2-trunc-327680')(lambda w: trunc(w, 'qcow2', 327680))
R('qcow2-appended-junk')(lambda w: (mk(w, 'qcow2', None, seed='aj'), w.append(raw(777, 'junk'))))
R('qcow1')(lambda w: mk(w, 'qcow', None, seed='qcow1'))
R('qcow1-backing-passwd')(lambda w: w.run('qemu-img', 'create', '-q', '-u', '-f', 'qcow', '-b', '/etc/passwd', '-F', 'raw', 'disk.img', '1M'))
R('qcow1-backing-short-file')(lambda w: (w.run('qemu-img', 'create', '-q', '-u', '-f', 'qcow', '-b', '/etc/passwd', '-F', 'raw', 'disk.img', '1M'), w.cut(500)))
R('qed')(lambda w: mk(w, 'qed', None, seed='qed'))
R('qed-backing-passwd')(lambda w: w.run('qemu-img', 'create', '-q', '-u', '-f', 'qed', '-b', '/etc/passwd', '-F', 'raw', 'disk.img', '1M'))
R('qed-short-400')(lambda w: (mk(w, 'qed', None, data=False), w.cut(400)))
R('qed-magic-noise')(lambda w: w.put(b'QED\0' + raw(4096, 'qednoise')))
R('parallels-empty')(lambda w: mk(w, 'parallels', None, data=False, size=4 * M))
R('parallels-v1-magic')(lambda w: (mk(w, 'parallels', None, seed='pl1', size=2 * M), w.patch(0, b'WithoutFreeSpace')))
R('parallels-in-use')(lambda w: (mk(w, 'parallels', None, seed='plu', size=2 * M), w.patch(44, le32(0x746F6E59))))
R('bochs-header')(lambda w: w.put((b'Bochs Virtual HD Image'.ljust(32, b'\0') + b'Redolog'.ljust(16, b'\0') + b'Growing'.ljust(16, b'\0') + le32(0x20000) + le32(512) + le32(512) + le32(4096) + le32(65536) + le32(0) + le64(M)).ljust(512, b'\0') + le32(0xffffffff) * 512 + raw(9000, 'bochs')))
R('cloop-header')(lambda w: w.put(b'#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n'.ljust(128, b'\0') + be32(65536) + be32(1) + be64(148) + be64(148 + 20) + zlib.compress(b'c' * 65536)[:20].ljust(400, b'\0')))
R('dmg-koly')(lambda w: w.put(raw(4096, 'dmg') + (b'koly' + be32(4) + be32(512)).ljust(512, b'\0')))
R('vmdk-monolithic-sparse')(lambda w: mk(w, 'vmdk', None, seed='ms'))
R('vmdk-monolithic-sparse-v6')(lambda w: mk(w, 'vmdk', 'compat6=on', seed='ms6'))
R('vmdk-monolithic-sparse-scsi')(lambda w: mk(w, 'vmdk', 'adapter_type=lsilogic,hwversion=14', seed='mss'))
R('vmdk-stream-optimized')(lambda w: mk(w, 'vmdk', 'subformat=streamOptimized', seed='so'))
R('vmdk-stream-optimized-empty')(lambda w: mk(w, 'vmdk', 'subformat=streamOptimized', data=False))
R('vmdk-monolithic-flat')(lambda w: mk(w, 'vmdk', 'subformat=monolithicFlat', seed='mf'))
R('vmdk-two-gb-flat')(lambda w: mk(w, 'vmdk', 'subformat=twoGbMaxExtentFlat', seed='tf'))
R('vmdk-sparse-backing')(lambda w: (w.run('qemu-img', 'create', '-q', '-f', 'vmdk', 'base.vmdk', '1M'), settle(w, 'vmdk', 'base.vmdk'), w.run('qemu-img', 'create', '-q', '-f', 'vmdk', '-b', 'base.vmdk', '-F', 'vmdk', 'disk.img'), settle(w, 'vmdk')))
R('vmdk-twogb-extent-alone')(lambda w: (mk(w, 'vmdk', 'subformat=twoGbMaxExtentSparse', seed='ex'), os.replace(w.path('disk-s001.img'), w.path())))
R('vmdk-hand-valid')(lambda w: vmdk(w, seed='hv'))
R('vmdk-hand-version-2')(lambda w: vmdk(w, version=2, seed='h2'))
R('vmdk-hand-version-3')(lambda w: vmdk(w, version=3, seed='h3'))
R('vmdk-hand-version-4')(lambda w: vmdk(w, version=4, seed='h4'))
R('vmdk-createtype-flat')(lambda w: vmdk(w, desc('monolithicFlat')))
R('vmdk-createtype-vmfs')(lambda w: vmdk(w, desc('vmfs')))
R('vmdk-createtype-case')(lambda w: vmdk(w, desc('MONOLITHICSPARSE')))
R('vmdk-createtype-key-case')(lambda w: vmdk(w, desc().replace(b'createType', b'CREATETYPE')))
R('vmdk-createtype-missing')(lambda w: vmdk(w, desc(None)))
R('vmdk-createtype-empty')(lambda w: vmdk(w, desc('')))
R('vmdk-createtype-unquoted')(lambda w: vmdk(w, desc().replace(b'"monolithicSparse"', b'monolithicSparse')))
R('vmdk-createtype-late')(lambda w: vmdk(w, desc(None, more='# pad\n' * 1500 + 'createType="monolithicSparse"\n')))
R('vmdk-createtype-custom')(lambda w: vmdk(w, desc('custom')))
R('vmdk-extent-relative')(lambda w: vmdk(w, desc(extents=('RW 2048 FLAT "other.raw" 0',))))
R('vmdk-extent-backslash')(lambda w: vmdk(w, desc(extents=('RW 2048 FLAT "..\\\\etc\\\\passwd" 0',))))
R('vmdk-extent-two')(lambda w: vmdk(w, desc(extents=('RW 1024 SPARSE "disk.img"', 'RW 1024 SPARSE "disk2.img"'))))
R('vmdk-extent-tab')(lambda w: vmdk(w, desc(extents=('RW\t2048\tSPARSE\t"disk.img"',))))
R('vmdk-extent-rdonly')(lambda w: vmdk(w, desc(extents=('RDONLY 2048 SPARSE "disk.img"',))))
R('vmdk-extent-noaccess')(lambda w: vmdk(w, desc(extents=('NOACCESS 2048 ZERO',))))
R('vmdk-parent-hint-passwd')(lambda w: vmdk(w, desc(hint='/etc/passwd', pcid='01234567')))
R('vmdk-parent-hint-after-nul')(lambda w: vmdk(w, desc(pcid='01234567') + b'\0' * 30 + b'parentFileNameHint="/etc/passwd"\n'))
R('vmdk-parent-cid-only')(lambda w: vmdk(w, desc(pcid='01234567')))
R('vmdk-desc-junk-line')(lambda w: vmdk(w, desc(more='this is not a descriptor line\n')))
R('vmdk-desc-nul-then-binary')(lambda w: vmdk(w, desc() + b'\0' + raw(300, 'nb')))
R('vmdk-desc-utf8')(lambda w: vmdk(w, desc(more='# größe\n')))
R('vmdk-desc-utf8-encoding-line')(lambda w: vmdk(w, desc(lead='# Disk DescriptorFile\nencoding="UTF-8"\n')))
R('vmdk-desc-crlf')(lambda w: vmdk(w, desc(nl='\r\n')))
R('vmdk-desc-cr-only')(lambda w: vmdk(w, desc(nl='\r')))
R('vmdk-desc-version-2')(lambda w: vmdk(w, desc(version='2')))
R('vmdk-desc-change-track')(lambda w: vmdk(w, desc(more='changeTrackPath="disk-ctk.vmdk"\n')))
R('vmdk-desc-change-track-path')(lambda w: vmdk(w, desc(more='changeTrackPath="/etc/passwd"\n')))
R('vmdk-desc-size-zero')(lambda w: vmdk(w, desc_num=0))
R('vmdk-desc-size-1')(lambda w: vmdk(w, desc_num=1))
R('vmdk-desc-size-huge')(lambda w: (vmdk(w, desc(), desc_num=1 << 40), w.cut(3 * M)))
R('vmdk-desc-size-beyond-eof')(lambda w: vmdk(w, desc(), desc_num=2000))
R('vmdk-desc-offset-2')(lambda w: vmdk(w, desc_sec=2, desc_at=1024))
R('vmdk-capacity-0')(lambda w: vmdk(w, capacity=0))
R('vmdk-capacity-0-flat-passwd-offset-2')(lambda w: vmdk(w, desc('monolithicFlat', ('RW 8 FLAT "/etc/passwd" 0',)), capacity=0, desc_sec=2, desc_at=1024))
R('vmdk-capacity-0-flat-relative')(lambda w: vmdk(w, desc('monolithicFlat', ('RW 8 FLAT "disk.img" 0',)), capacity=0))
R('vmdk-capacity-odd')(lambda w: vmdk(w, capacity=2049))
R('vmdk-grain-0')(lambda w: vmdk(w, grain=0))
R('vmdk-gtes-0')(lambda w: vmdk(w, gtes=0))
R('vmdk-gtes-huge')(lambda w: vmdk(w, gtes=0xffffffff))
R('vmdk-flag-compressed-not-so')(lambda w: vmdk(w, flags=0x30001, compress=1))
R('vmdk-newline-test-broken')(lambda w: (vmdk(w), w.patch(73, b'\n\n\n\n')))
R('vmdk-header-alone-512')(lambda w: w.put(vmdk_header()))
R('vmdk-header-alone-511')(lambda w: w.put(vmdk_header()[:511]))
R('vmdk-trunc-1024')(lambda w: (vmdk(w), w.cut(1024)))
R('vmdk-trunc-10752')(lambda w: (vmdk(w), w.cut(10752)))
R('vmdk-trunc-10751')(lambda w: (vmdk(w), w.cut(10751)))
R('vmdk-vmware-stream-gd-in-header')(lambda w: vmdk_stream(w, gd_at_end=False, seed='so2'))
R('vmdk-footer-desc-mismatch')(lambda w: vmdk_stream(w, foot={'desc_sec': 2}))
R('vmdk-footer-version-mismatch')(lambda w: vmdk_stream(w, foot={'version': 1}))
R('vmdk-footer-magic-mismatch')(lambda w: vmdk_stream(w, foot={'magic': b'COWD'}))
R('vmdk-footer-missing')(lambda w: (vmdk_stream(w), w.cut(w.size() - 1536)))
R('vmdk-footer-then-junk')(lambda w: (vmdk_stream(w), w.append(raw(512, 'fj'))))
R('vmdk-footer-sparse')(lambda w: vmdk(w, footer=True))
R('vmdk-footer-parent-passwd')(lambda w: vmdk(w, desc(hint='/etc/passwd', pcid='01234567'), footer=True))
R('vmdk-text-flat-passwd')(lambda w: w.put(desc('monolithicFlat', ('RW 8 FLAT "/etc/passwd" 0',))))
R('vmdk-text-flat-passwd-padded-nl')(lambda w: w.put(desc('monolithicFlat', ('RW 8 FLAT "/etc/passwd" 0',)).ljust(64 * K, b'\n')))
R('vmdk-text-vmfs-passwd')(lambda w: w.put(desc('vmfs', ('RW 8 VMFS "/etc/passwd"',))))
R('vmdk-text-2gb-flat-dotdot')(lambda w: w.put(desc('twoGbMaxExtentFlat', ('RW 8 FLAT "../../../../../../etc/passwd" 0',))))
R('vmdk-text-sparse-type')(lambda w: w.put(desc('monolithicSparse', ('RW 2048 SPARSE "disk.vmdk"',))))
R('vmdk-text-so-type')(lambda w: w.put(desc('streamOptimized', ('RW 2048 SPARSE "disk.vmdk"',))))
R('vmdk-text-late-flat-line')(lambda w: w.put(desc('monolithicFlat', ('RW 8 FLAT "other.raw" 0',), more='# fill\n' * 800 + 'RW 8 FLAT "/etc/passwd" 0\n')))
R('vmdk-text-leading-comment')(lambda w: w.put(b'# hi\n' * 20 + desc('monolithicFlat', ('RW 8 FLAT "/etc/passwd" 0',), lead='')))
R('vmdk-text-version-first')(lambda w: w.put(desc('monolithicFlat', ('RW 8 FLAT "/etc/passwd" 0',), lead='')))
R('vmdk-text-vmfs-rdm')(lambda w: w.put(desc('vmfsRaw', ('RW 8 VMFSRDM "/etc/passwd"',))))
R('vmdk-text-then-binary')(lambda w: w.put(desc('monolithicFlat', ('RW 8 FLAT "/etc/passwd" 0',)) + raw(4096, 'ttb')))
R('vmdk-cowd-header')(lambda w: w.put((b'COWD' + le32(1) + le32(3) + le32(2048) + le32(128) + le32(4) + le32(1) + le32(140)).ljust(2048, b'\0') + b'\0' * 70000))
R('vmdk-cowd-noise')(lambda w: w.put(b'COWD' + raw(70000, 'cowd')))
R('vmdk-magic-noise')(lambda w: w.put(b'KDMV' + raw(70000, 'kdmv')))
R('vhd-fixed-force-size')(lambda w: mk(w, 'vpc', 'subformat=fixed,force_size=on', seed='vpcxf', size=M))
R('vhd-dynamic-empty')(lambda w: mk(w, 'vpc', None, data=False, size=64 * M))
R('vhd-hand-dynamic')(lambda w: vhd_dynamic(w))
R('vhd-hand-no-tail-footer')(lambda w: vhd_dynamic(w, foot=False))
R('vhd-hand-no-head-copy')(lambda w: vhd_dynamic(w, head=False))
R('vhd-hand-bat-far')(lambda w: vhd_dynamic(w, tab_off=1 << 50))
R('vhd-hand-block-size-3')(lambda w: (vhd_dynamic(w), w.patch(512 + 32, be32(3))))
R('vhd-footer-only')(lambda w: w.put(vhd_footer()))
R('vhd-footer-at-start-and-data')(lambda w: w.put(vhd_footer() + raw(64 * K, 'fs')))
R('vhd-fixed-hand')(lambda w: w.put(raw(64 * K, 'fh').ljust(M, b'\0') + vhd_footer(2, M)))
R('vhd-fixed-hand-bad-checksum')(lambda w: w.put(raw(64 * K, 'fhb').ljust(M, b'\0') + vhd_footer(2, M, bad=True)))
R('vhd-fixed-size-lies')(lambda w: w.put(raw(64 * K, 'fl').ljust(M, b'\0') + vhd_footer(2, 4 * G)))
R('vhd-size-2p63')(lambda w: vhd_dynamic(w, size=1 << 63))
R('vhd-cookie-case')(lambda w: (vhd_dynamic(w), w.patch(0, b'Conectix')))
R('vhd-trunc-512')(lambda w: (vhd_dynamic(w), w.cut(512)))
R('vhd-trunc-1536')(lambda w: (vhd_dynamic(w), w.cut(1536)))
R('vhd-magic-noise')(lambda w: w.put(b'conectix' + raw(8000, 'cx')))
R('vhdx-dynamic')(lambda w: vhdx(w))
R('vhdx-fixed')(lambda w: mk(w, 'vhdx', 'subformat=fixed,block_size=1M,log_size=1M', seed='vxf'))
R('vhdx-1t')(lambda w: mk(w, 'vhdx', 'log_size=1M', size=T, data=False))
R('vhdx-trunc-256k')(lambda w: (vhdx(w), w.cut(256 * K)))
R('vhdx-trunc-2m-100')(lambda w: (vhdx(w), w.cut(2 * M + 100)))
R('vhdx-region-sig-bad')(lambda w: vhdx(w, at={192 * K: b'regj'}))
R('vhdx-region-count-0')(lambda w: vhdx(w, at={192 * K + 8: le32(0)}))
R('vhdx-region-crc-bad')(lambda w: vhdx(w, at={192 * K + 4: le32(0x12345678)}))
R('vhdx-header1-bad')(lambda w: vhdx(w, at={64 * K: b'HEAD'}))
R('vhdx-metadata-count-0')(lambda w: (vhdx(w), w.patch(vhdx_regions(w)[VHDX_META][0] + 10, b'\0\0')))
R('vhdx-metadata-count-2048')(lambda w: (vhdx(w), w.patch(vhdx_regions(w)[VHDX_META][0] + 10, b'\0\x08')))
R('vhdx-vds-size-0')(lambda w: (vhdx(w), w.patch(vhdx_items(w)[VHDX_VDS][1], le64(0))))
R('vhdx-vds-size-65t')(lambda w: (vhdx(w), w.patch(vhdx_items(w)[VHDX_VDS][1], le64(65 * T))))
R('vhdx-vds-length-4')(lambda w: (vhdx(w), w.patch(vhdx_items(w)[VHDX_VDS][0] + 20, le32(4))))
R('vhdx-vds-offset-far')(lambda w: (vhdx(w), w.patch(vhdx_items(w)[VHDX_VDS][0] + 16, le32(0xfffffff0))))
R('vhdx-vds-guid-missing')(lambda w: (vhdx(w), w.patch(vhdx_items(w)[VHDX_VDS][0], raw(16, 'gm'))))
R('vhdx-parent-locator-item')(lambda w: (vhdx(w), w.patch(vhdx_items(w)[VHDX_P83][0], VHDX_PARENT), w.patch(vhdx_items(w)[VHDX_FPAR][1] + 4, le32(2))))
R('vhdx-meta-offset-far')(lambda w: (vhdx(w), [w.patch(t + 32 + 32 * i, le64(1 << 50)) for t in (192 * K, 256 * K) for i in range(2) if w.get(t + 16 + 32 * i, 16) == VHDX_META], vhdx_retable(w)))
R('vhdx-2047-items-no-vds-64m')(lambda w: (vhdx(w), w.patch(vhdx_regions(w)[VHDX_META][0], b'metadata' + b'\0\0\xff\x07' + b'\0' * 20 + b''.join(struct.pack('<IHH8sIIII', 0xaa000000 + i, 1, 1, b'confconf', 65536, 8, 0, 0) for i in range(2047))), w.cut(64 * M)))
R('vhdx-log-replay-needed')(lambda w: (vhdx(w), [(lambda h, at: (h.__setitem__(slice(48, 64), bytes(range(1, 17))), h.__setitem__(slice(4, 8), b'\0\0\0\0'), h.__setitem__(slice(4, 8), struct.pack('<I', crc32c(bytes(h)))), w.patch(at, bytes(h))))(bytearray(w.get(at, 4096)), at) for at in (64 * K, 128 * K)]))
R('vdi-dynamic')(lambda w: vdi(w))
R('vdi-static')(lambda w: mk(w, 'vdi', 'static=on', seed='vds'))
R('vdi-empty')(lambda w: mk(w, 'vdi', None, data=False))
R('vdi-version-bad')(lambda w: vdi(w, at={0x44: le32(0x00020002)}))
R('vdi-sector-size-4096')(lambda w: vdi(w, at={0x168: le32(4096)}))
R('vdi-block-size-odd')(lambda w: vdi(w, at={0x178: le32(4097)}))
R('vdi-blocks-huge')(lambda w: vdi(w, at={0x180: le32(0x7fffffff)}))
R('vdi-parent-uuid')(lambda w: vdi(w, at={0x1b8: bytes(range(16))}))
R('vdi-type-3-diff')(lambda w: vdi(w, at={0x4c: le32(3)}))
R('vdi-bmap-far')(lambda w: vdi(w, at={0x154: le32(0xfffffe00)}))
R('vdi-text-differs')(lambda w: vdi(w, at={0: b'some other banner text\n'.ljust(64, b'\0')}))
R('vdi-sig-only')(lambda w: w.put(b'\0' * 64 + le32(0xbeda107f) + b'\0' * 1000))
R('vdi-sig-noise')(lambda w: w.put(raw(64, 'vn') + le32(0xbeda107f) + raw(4000, 'vn2')))
R('vdi-trunc-511')(lambda w: (vdi(w), w.cut(511)))
R('vdi-trunc-512')(lambda w: (vdi(w), w.cut(512)))
R('vdi-trunc-1m')(lambda w: (vdi(w), w.cut(M)))
R('luks1-hand')(lambda w: luks1(w))
R('luks1-hand-all-slots')(lambda w: luks1(w, active=range(8), payload=4096, seed='las'))
R('luks1-hand-cbc')(lambda w: luks1(w, mode=b'cbc-essiv:sha256', key_bytes=32))
R('luks1-hand-payload-inside-keys')(lambda w: luks1(w, payload=100, size=3 * M))
R('luks1-hand-iters-huge')(lambda w: luks1(w, iters=0xffffffff))
R('luks1-header-592')(lambda w: luks1(w, size=592))
R('luks1-header-591')(lambda w: luks1(w, size=591))
R('luks1-header-200')(lambda w: luks1(w, size=200))
R('luks-version-0')(lambda w: luks1(w, version=0))
R('luks1-qemu', nondeterministic='random keys, salts, UUID')(lambda w: w.run('qemu-img', 'create', '-q', '-f', 'luks', '--object', 'secret,id=s,data=abc123', '-o', 'key-secret=s,iter-time=100', 'disk.img', '1M'))
R('luks2-cryptsetup', tool='cryptsetup', nondeterministic='random keys, salts')(lambda w: (sparse(w, 4 * M), w.run('cryptsetup', 'luksFormat', '-q', '--type', 'luks2', '--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000', '--luks2-metadata-size', '16k', '--luks2-keyslots-size', '256k', '--uuid', '11111111-2222-3333-4444-555555555555', 'disk.img', '-', input=b'abc123')))
R('mbr-one-partition')(lambda w: w.put(mbr().ljust(M, b'\0')))
R('mbr-no-partitions')(lambda w: w.put(mbr(()).ljust(M, b'\0')))
R('mbr-bad-boot-flag')(lambda w: w.put(mbr(((0x41, 0x83, 64, 1984),)).ljust(M, b'\0')))
R('mbr-boot-code')(lambda w: w.put(mbr(code=raw(440, 'code')).ljust(M, b'\0')))
R('mbr-512-only')(lambda w: w.put(mbr()))
R('mbr-wrong-sig')(lambda w: w.put(mbr(sig=b'\xaa\x55').ljust(M, b'\0')))
R('gpt-valid')(lambda w: gpt(w))
R('gpt-bad-start-chs')(lambda w: gpt(w, first_chs=(0, 1, 0)))
R('fat16')(lambda w: w.put(fat()))
R('fat16-media-f0')(lambda w: w.put(fat(media=0xf0)))
R('fat16-one-fat')(lambda w: w.put(fat(nfats=1)))
R('mbr-plus-footer-vhd')(lambda w: w.put(mbr(code=b'\xeb\x63\x90').ljust(M, b'\0') + vhd_footer(2, M)))
R('iso-descriptor-type-0')(lambda w: w.put(iso(vtype=0)))
R('iso-nsr02')(lambda w: w.put(iso(ident=b'NSR02')))
R('iso-block-512')(lambda w: w.put(iso(block=512)))
R('iso-trunc-34k')(lambda w: w.put(iso()[:34 * K]))
R('gzip-of-raw')(lambda w: w.put(gz(raw(64 * K, 'gzr').ljust(M, b'\0'))))
R('gzip-of-qcow2')(lambda w: (mk(w, 'qcow2', None, seed='gzq'), w.put(gz(w.get()))))
R('gzip-truncated')(lambda w: w.put(gz(raw(64 * K, 'gzt'))[:3000]))
R('gzip-magic-only')(lambda w: w.put(b'\x1f\x8b'))
R('xz-of-raw')(lambda w: w.put(lzma.compress(raw(16 * K, 'xzr').ljust(M, b'\0'), preset=1)))
R('bzip2-magic')(lambda w: w.put(b'BZh91AY&SY' + raw(5000, 'bz')))
R('tar-of-files')(lambda w: w.put(tar_of((('a.txt', b'hello'), ('disk.raw', raw(9000, 'tar'))))))
R('ova-with-vmdk')(lambda w: (vmdk_stream(w), w.put(tar_of((('x.ovf', b'<?xml version="1.0"?><Envelope/>'), ('disk.vmdk', w.get()))))))
R('tar-first-member-named-qfi')(lambda w: w.put(tar_of((('QFIx', raw(5000, 'tq')),))))
R('tgz-of-vhd-chain')(lambda w: (vhd_dynamic(w), w.put(gz(tar_of((('0.vhd', w.get(0, 70 * K)),))))))
R('poly-raw-qfi-start')(lambda w: w.put(b'QFI\xfb' + b'\0' * 508 + raw(64 * K, 'rq')))
R('poly-mbr-with-qfi')(lambda w: w.put(mbr(code=b'QFI\xfb\0\0\0\x03').ljust(M, b'\0')))
R('poly-qcow2-vmdk-desc-512')(lambda w: (qcow2(w, seed='pqv'), w.patch(512, desc('monolithicFlat', ('RW 8 FLAT "/etc/passwd" 0',)))))
R('poly-qcow2-mbr-sig')(lambda w: (qcow2(w, seed='pqm'), w.patch(510, b'\x55\xaa')))
R('poly-qcow2-iso')(lambda w: (qcow2(w, seed='pqi'), w.patch(32768, iso()[32768:36864])))
R('poly-vdi-iso')(lambda w: (vdi(w, seed='pvi'), w.patch(32768, iso()[32768:36864])))
R('poly-vdi-vmdk-text')(lambda w: (w.put(desc('monolithicFlat', ('RW 8 FLAT "/etc/passwd" 0',)).ljust(M, b'\0')), w.patch(64, le32(0xbeda107f))))
R('poly-vhd-head-iso')(lambda w: (vhd_dynamic(w), w.patch(32768, iso()[32768:36864])))
R('poly-vhd-footer-qcow2')(lambda w: (qcow2(w, seed='pfq'), w.append(vhd_footer(2, w.size()))))
R('poly-vhdx-iso')(lambda w: (vhdx(w), w.patch(32768, iso()[32768:36864])))
R('poly-luks-gpt-sig')(lambda w: (luks1(w, seed='plg'), w.patch(510, b'\x55\xaa')))
R('poly-luks-iso')(lambda w: (luks1(w, seed='pli'), w.patch(32768, iso()[32768:36864])))
R('poly-gzip-vdi')(lambda w: w.put((b'\x1f\x8b\x08'.ljust(64, b'\0') + le32(0xbeda107f)).ljust(4096, b'\0')))
R('poly-vmdk-iso')(lambda w: (vmdk(w, seed='pvmi'), w.patch(32768, iso()[32768:36864])))
R('poly-vmdk-text-iso')(lambda w: w.put(desc('monolithicFlat', ('RW 8 FLAT "/etc/passwd" 0',)).ljust(32768, b'\n') + iso()[32768:]))
R('poly-vmdk-text-mbr')(lambda w: (w.put(desc('monolithicFlat', ('RW 8 FLAT "/etc/passwd" 0',), ddb=False).ljust(M, b'\0')), w.patch(446, mbr()[446:512])))
R('poly-parallels-iso')(lambda w: (mk(w, 'parallels', None, seed='ppi', size=2 * M), w.patch(32768, iso()[32768:36864])))
R('poly-qed-iso')(lambda w: (mk(w, 'qed', None, seed='pqed'), w.patch(32768, iso()[32768:36864])))
R('poly-iso-vmdk-header')(lambda w: w.put(vmdk_header() + iso()[512:]))
R('poly-fat-qcow1')(lambda w: w.put(b'QFI\xfb\0\0\0\x01' + fat()[8:]))


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument('outdir', nargs='?')
    ap.add_argument('--only', help='JSON list of ids')
    ap.add_argument('--list', action='store_true')
    a = ap.parse_args()
    ids = sorted(RECIPES)
    if a.only:
        with open(a.only) as f:
            want = json.load(f)
        missing = sorted(set(want) - set(ids))
        if missing:
            raise SystemExit('unknown ids: ' + ' '.join(missing))
        ids = sorted(set(want))
    if a.list or not a.outdir:
        for i in ids:
            print(json.dumps(dict(id=i, **RECIPES[i][1])))
        return
    os.makedirs(a.outdir, exist_ok=True)
    index = {}
    for i in ids:
        folder = os.path.join(a.outdir, i)
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        w = W(folder)
        try:
            RECIPES[i][0](w)
        except Exception as e:
            sys.stderr.write('FAILED %s: %s\n' % (i, e))
            index[i] = {'failed': str(e)}
            shutil.rmtree(folder)
            continue
        st = os.stat(w.path())
        index[i] = dict(RECIPES[i][1], size=st.st_size, disk=st.st_blocks * 512,
                        aux=sorted(set(os.listdir(folder)) - {'disk.img'}))
    with open(os.path.join(a.outdir, 'index.json'), 'w') as f:
        json.dump(index, f, indent=1, sort_keys=True)
        f.write('\n')


if __name__ == '__main__':
    main()
