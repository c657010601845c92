"""Attacks on a sandbox, each bounded in itself: if one succeeds, a test fails and nothing else.

An attack is a module with a function ``answer``. It returns what the test wants to see only if it
got through. That stands in a file outside and in the environment, and is what a server would send.
The names in capitals are defined by the tests.
"""

from __future__ import annotations

import textwrap

__all__ = ["ATTACKS", "READING_THE_SOLUTION"]

_BODIES = {
    "fork bomb (1,024 forks)": """
        read, write = os.pipe()
        for _ in range(10):
            try:
                os.fork()
            except OSError:
                pass
        os.write(write, b"x")
        time.sleep(1)
        os.set_blocking(read, False)
        assert len(os.read(read, 5000)) > 200
        return won()
    """,
    "memory bomb (4 GiB)": """
        held = [bytearray(b"x") * (1 << 26) for _ in range(64)]
        return won()
    """,
    "memory bomb of 8 processes (2 GiB)": """
        children = []
        for _ in range(8):
            child = os.fork()
            if child == 0:
                held = bytearray(b"x") * (1 << 28)
                time.sleep(5)
                os._exit(0)
            children.append(child)
        assert all(os.waitpid(child, 0)[1] == 0 for child in children)
        return won()
    """,
    "memory by files without a name (4 GiB)": """
        for number in range(64):
            file = os.memfd_create(str(number))
            os.ftruncate(file, 1 << 26)
            for _ in range(64):
                os.write(file, bytes(1 << 20))
        return won()
    """,
    "infinite loop that ignores signals (20 s)": """
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        end = time.monotonic() + 20
        while time.monotonic() < end:
            pass
        return won()
    """,
    "sleeping (20 s)": """
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                time.sleep(20)
            except BaseException:
                pass
        return won()
    """,
    "stopping itself": """
        os.kill(0, signal.SIGSTOP)
    """,
    "recursion without end": """
        sys.setrecursionlimit(10**9)
        def down():
            down()
        try:
            down()
        except RecursionError:
            return won()
    """,
    "a segmentation fault": """
        ctypes.string_at(0)
        return won()
    """,
    "reading a file outside": """
        for path in (SECRET, "/proc/self/root" + SECRET, "/work/.." + SECRET):
            try:
                with open(path) as file:
                    return file.read()
            except OSError:
                pass
        for path in ("/etc/passwd", "/etc/hostname", "/proc/1/environ", "/root"):
            try:
                os.listdir(path) if path == "/root" else open(path).close()
            except OSError:
                continue
            if path != "/root" or len(os.listdir(path)) > 2:
                return won()
    """,
    "looking through the environment and the memory": """
        texts = list(os.environ.values())
        for thing in gc.get_objects():
            texts += [text for text in gc.get_referents(thing) if isinstance(text, str)]
        frame = sys._getframe()
        while frame:
            texts += map(str, frame.f_locals.values())
            frame = frame.f_back
        for text in texts:
            if found := re.search("answer-[0-9a-f]{32}", text):
                return found[0]
    """,
    "writing outside": """
        done = []
        for folder in (*PLACES, os.path.dirname(os.__file__)):
            try:
                with open(f"{folder}/{MARK}", "w") as file:
                    file.write("x")
                done.append(folder)
            except OSError:
                pass
        for change in (os.remove, os.chmod, os.rename):
            try:
                change(SECRET, *{os.chmod: [0], os.rename: [SECRET + "x"]}.get(change, []))
                done.append(change)
            except OSError:
                pass
        if done:
            return won()
    """,
    "filling the disk (64 MiB)": """
        try:
            with open("one", "wb") as file:
                for _ in range(64):
                    file.write(bytes(1 << 20))
            return won()
        except OSError:
            pass
        written = 0
        for number in range(2000):
            try:
                with open(str(number), "wb") as file:
                    written += file.write(bytes(1 << 15))
            except OSError:
                break
        if written > 1 << 25:
            return won()
    """,
    "opening sockets": """
        for family, kind, place in (
            (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", PORT)),
            (socket.AF_INET6, socket.SOCK_STREAM, ("::1", PORT)),
            (socket.AF_UNIX, socket.SOCK_STREAM, UNIX),
            (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", PORT)),
        ):
            try:
                with socket.socket(family, kind) as line:
                    line.settimeout(0.5)
                    line.connect(place)
                    line.send(b"x")
                    return line.recv(100).decode()
            except OSError:
                pass
    """,
    "opening 1,000 files": """
        held = [open("/dev/null") for _ in range(1000)]
        return won()
    """,
    "printing gigabytes (2 GiB)": """
        for _ in range(1024):
            os.write(1, bytes(1 << 20))
            os.write(2, bytes(1 << 20))
        for _ in range(2048):
            print("x" * (1 << 20))
        return won()
    """,
    "a huge result (100 MB)": """
        return "x" * 10**8
    """,
    "a result nested 100,000 deep": """
        result = []
        for _ in range(10**5):
            result = [result]
        return result
    """,
    "exiting 0 at once": """
        os._exit(0)
    """,
    "exiting 0 by an exception": """
        print("ok")
        sys.exit(0)
    """,
    "exiting 0 when the module is loaded": """
        def answer():
            return won()

        os._exit(0)
    """,
    "exiting 0 in a child and the parent": """
        os.fork()
        os._exit(0)
    """,
    "an object that equals everything": """
        class Equal(str):
            def __eq__(self, other):
                return True
            def __ne__(self, other):
                return False
            def __hash__(self):
                return 0
            def __repr__(self):
                return "'anything'"
        return Equal("x")
    """,
    "monkeypatching the checker": """
        import builtins, doctest, unittest
        doctest.OutputChecker.check_output = lambda *_: True
        doctest.DocTestRunner.run = lambda *_: (0, 1)
        unittest.TestCase.assertEqual = lambda *_: None
        builtins.AssertionError = ZeroDivisionError
        builtins.all = builtins.any = builtins.isinstance = lambda *_: True
        builtins.compile = lambda *_, **__: (lambda: None).__code__
        builtins.exec = lambda *_: None
        sys.exit = os._exit = lambda *_: None
        return "patched"
    """,
    "answering in the harness's place": """
        def send(channel, message):
            channel.sendall(pack({"passed": True, "results": [{"printed": "", "raised": None}]}))
        for thing in gc.get_objects():
            if isinstance(thing, dict) and "BadFrame" in thing and "send" in thing:
                pack = thing["pack"]
                thing["send"] = send
        return 0
    """,
    "reporting success on every descriptor": """
        def answer():
            forge()

        forge()
        time.sleep(0.2)
        os._exit(0)
    """,
    "leaving a daemon (30 s)": """
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for number in range(1, 65):
                    try:
                        signal.signal(number, signal.SIG_IGN)
                    except (OSError, ValueError):
                        pass
                os.closerange(0, 64)
                time.sleep(30)
            os._exit(0)
    """,
    "leaving shared memory (1 MiB) and a thread (5 s)": """
        threading.Thread(target=time.sleep, args=(5,)).start()
        libc = ctypes.CDLL(None)
        libc.shmget(KEY_OF_MEMORY, 1 << 20, 0o1666)
    """,
    "sending signals to others": """
        for process in (PROCESS, PARENT):
            try:
                os.kill(process, 0)
                return won()
            except OSError:
                pass
        try:
            os.kill(os.getppid(), signal.SIGKILL)
        except OSError:
            pass
    """,
    "calls that only attacks need": """
        libc = ctypes.CDLL(None, use_errno=True)
        done = [
            libc.unshare(0x10000000) == 0,
            libc.mount(b"tmpfs", b".", b"tmpfs", 0, None) == 0,
            libc.chroot(b".") == 0,
            libc.ptrace(16, os.getppid(), None, None) == 0,
            os.getuid() != 0 and libc.setuid(0) == 0,
            libc.syscall(425, 8, None) >= 0,
            libc.syscall(321, 0, None, 0) >= 0,
        ]
        if any(done):
            return won()
    """,
}

_HEAD = """
import ctypes, gc, json, os, re, signal, socket, struct, sys, threading, time

def won():
    # Getting here is an attack's success, and only then what a test wants is made up.
    return "answer-%032x" % (KEY ^ MASK)

def forge():
    told = {"value": won(), "results": [{"printed": repr(won()) + "\\n", "raised": None}]}
    for message in ({"ready": True}, {"passed": True}, {"nonce": "", **told}, told):
        body = json.dumps(message).encode()
        for descriptor in range(64):
            try:
                os.set_blocking(descriptor, False)
                os.write(descriptor, struct.pack("!I", len(body)) + body)
            except OSError:
                pass
"""


def _module(text: str) -> str:
    text = textwrap.dedent(text)
    if "def answer" not in text:
        text = "def answer():\n" + textwrap.indent(text, "    ")
    return f"{_HEAD}\n{text}"


ATTACKS = {name: _module(text) for name, text in _BODIES.items()}

READING_THE_SOLUTION = _module("""
    def answer():
        import importlib.machinery as machinery
        for path in (__file__, os.path.realpath(__file__)):
            for read in (open, lambda path: open(path, "rb")):
                try:
                    with read(path) as file:
                        if found := re.search("answer-[0-9a-f]{32}", str(file.read())):
                            return found[0]
                except OSError:
                    pass
        folder = os.path.dirname(__file__) + "/__pycache__"
        for name in os.listdir(folder):
            with open(f"{folder}/{name}", "rb") as file:
                if found := re.search(b"answer-[0-9a-f]{32}", file.read()):
                    return found[0].decode()
""")
