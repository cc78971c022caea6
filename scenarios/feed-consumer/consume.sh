# Follows the feed by its id, one look after the other; whatever it cannot read ends it.
last=0
while :; do
    next=$(mariadb --batch --skip-column-names -e "SELECT id, product_id FROM feed WHERE id > $last ORDER BY id LIMIT 100") || exit 3
    if [ -n "$next" ]; then
        last=$(echo "$next" | tail -n 1 | cut -f 1)
        echo "up to $last"
    fi
    sleep 0.1
done
