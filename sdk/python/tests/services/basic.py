from msx import microservice


@microservice
def add(x, y):
    return x + y


@microservice
def twice(x):
    return add(x, x) + add(x, x)


@microservice
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


@microservice
def boom(x):
    raise ValueError("no", x)


@microservice
def middle(x):
    return boom(x)
