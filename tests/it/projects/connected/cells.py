import msx
from shop import price

hub = msx.connect()
# %%
print(await price.aio("apple"))
# %%
price("apple")
# %%
import asyncio

print(await asyncio.gather(*(price.aio("apple") for _ in range(20))) == [3] * 20)
# %%
await price.aio("plum")
# %%
hub.close()
hub = msx.connect()
print(await price.aio("pear"))
