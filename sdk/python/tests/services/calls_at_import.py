from basic import add

add(1, 2)
