# The port is known when it starts.
sed "s|PORT|$1|; s|FOLDER|$PWD|" backend.conf > "backend-$1.conf"
exec "$NGINX" -p "$PWD" -c "$PWD/backend-$1.conf"
