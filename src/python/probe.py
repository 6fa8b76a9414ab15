# Says what a Python interpreter is, as JSON. Must at least parse and print its version on every Python there is.
import sys

sys.path[:] = [folder for folder in sys.path if folder]  # a json.py of the project is not ours
import json

found = {"version": list(sys.version_info[:3]), "executable": sys.executable or ""}
if sys.version_info >= (3, 10):
    import site
    import sysconfig
    from importlib.util import find_spec

    found["soabi"] = sysconfig.get_config_var("SOABI") or sys.implementation.cache_tag
    found["platform"] = sysconfig.get_platform()
    found["in_venv"] = sys.prefix != sys.base_prefix
    found["has_pip"] = find_spec("pip") is not None
    found["has_venv"] = find_spec("venv") is not None and find_spec("ensurepip") is not None
    # The folders whose change may change an answer. Debian adds venv to the standard library later.
    found["sites"] = [folder for folder in sys.path if folder.endswith("-packages")]
    found["sites"].append(sysconfig.get_path("stdlib"))
    if site.ENABLE_USER_SITE:
        found["sites"].append(site.getusersitepackages())
    try:
        import msgspec

        found["msgspec"] = msgspec.__version__
    except Exception:
        pass  # absent or broken: msx brings its own
print(json.dumps(found))
