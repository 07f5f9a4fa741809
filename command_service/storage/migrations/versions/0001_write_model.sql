-- The write model: orders in normal form, the journal of their events, the memory of commands.

CREATE TABLE source (
    epoch bigint NOT NULL,
    system_identifier text NOT NULL,
    timeline integer NOT NULL,
    CONSTRAINT source_epoch_check CHECK (epoch >= 1)
);
CREATE UNIQUE INDEX source_one_row_idx ON source ((true));

CREATE TABLE customers (
    id text NOT NULL,
    redacted_at timestamptz,
    CONSTRAINT customers_pkey PRIMARY KEY (id)
);

CREATE TABLE orders (
    order_id uuid NOT NULL,
    version bigint NOT NULL,
    order_number text NOT NULL,
    source text NOT NULL,
    partition smallint NOT NULL,
    state text NOT NULL,
    payment_state text NOT NULL,
    fulfillment_state text NOT NULL,
    on_hold boolean NOT NULL,
    redacted boolean NOT NULL,
    customer_id text NOT NULL,
    customer_display_name text NOT NULL,
    customer_email text NOT NULL,
    customer_phone text NOT NULL,
    shipping_region_code text NOT NULL,
    shipping_language_code text NOT NULL,
    shipping_postal_code text NOT NULL,
    shipping_sorting_code text NOT NULL,
    shipping_administrative_area text NOT NULL,
    shipping_locality text NOT NULL,
    shipping_sublocality text NOT NULL,
    shipping_organization text NOT NULL,
    shipping_address_lines text[] NOT NULL,
    shipping_recipients text[] NOT NULL,
    billing_region_code text NOT NULL,
    billing_language_code text NOT NULL,
    billing_postal_code text NOT NULL,
    billing_sorting_code text NOT NULL,
    billing_administrative_area text NOT NULL,
    billing_locality text NOT NULL,
    billing_sublocality text NOT NULL,
    billing_organization text NOT NULL,
    billing_address_lines text[] NOT NULL,
    billing_recipients text[] NOT NULL,
    currency_code text NOT NULL,
    freight bigint NOT NULL,
    net_total bigint NOT NULL,
    tax_total bigint NOT NULL,
    total bigint NOT NULL,
    paid_total bigint NOT NULL,
    refunded_total bigint NOT NULL,
    refund_due bigint NOT NULL,
    placed_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    head_event_id uuid NOT NULL,
    head_hash bytea NOT NULL,
    recorded_at timestamptz NOT NULL,
    CONSTRAINT orders_pkey PRIMARY KEY (order_id),
    CONSTRAINT orders_source_order_number_key UNIQUE (source, order_number),
    CONSTRAINT orders_version_check CHECK (version >= 1),
    CONSTRAINT orders_partition_check CHECK (partition BETWEEN 0 AND 63),
    CONSTRAINT orders_state_check CHECK (
        state IN ('PLACED', 'PAID', 'SHIPPED', 'DELIVERED', 'RETURNED', 'CANCELLED', 'REFUNDED')
    ),
    CONSTRAINT orders_payment_state_check CHECK (
        payment_state IN ('UNPAID', 'PARTIALLY_PAID', 'PAID', 'REFUND_DUE', 'PARTIALLY_REFUNDED', 'REFUNDED')
    ),
    CONSTRAINT orders_fulfillment_state_check CHECK (
        fulfillment_state IN (
            'UNFULFILLED', 'PARTIALLY_SHIPPED', 'SHIPPED', 'PARTIALLY_DELIVERED', 'DELIVERED', 'PARTIALLY_RETURNED',
            'RETURNED'
        )
    ),
    CONSTRAINT orders_currency_code_check CHECK (currency_code ~ '^[A-Z]{3}$'),
    CONSTRAINT orders_freight_check CHECK (freight BETWEEN 0 AND 1000000000000000),
    CONSTRAINT orders_net_total_check CHECK (net_total >= 0),
    CONSTRAINT orders_tax_total_check CHECK (tax_total >= 0),
    CONSTRAINT orders_total_check CHECK (
        total = net_total + tax_total + freight
        OR (state IN ('CANCELLED', 'REFUNDED') AND total = net_total + tax_total)
    ),
    CONSTRAINT orders_total_limit_check CHECK (total BETWEEN 0 AND 1000000000000000),
    CONSTRAINT orders_paid_total_check CHECK (paid_total >= 0),
    CONSTRAINT orders_refunded_total_check CHECK (refunded_total BETWEEN 0 AND paid_total),
    CONSTRAINT orders_refund_due_check CHECK (refund_due BETWEEN 0 AND paid_total - refunded_total),
    CONSTRAINT orders_head_hash_check CHECK (octet_length(head_hash) = 32),
    CONSTRAINT orders_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id)
);

CREATE TABLE order_lines (
    order_id uuid NOT NULL,
    line_number integer NOT NULL,
    sku text NOT NULL,
    product_name text NOT NULL,
    unit_price bigint NOT NULL,
    quantity integer NOT NULL,
    discount_basis_points integer NOT NULL,
    tax_rate_basis_points integer NOT NULL,
    net_amount bigint NOT NULL,
    tax_amount bigint NOT NULL,
    cancelled_quantity integer NOT NULL,
    shipped_quantity integer NOT NULL,
    delivered_quantity integer NOT NULL,
    returned_quantity integer NOT NULL,
    CONSTRAINT order_lines_pkey PRIMARY KEY (order_id, line_number),
    CONSTRAINT order_lines_line_number_check CHECK (line_number >= 1),
    CONSTRAINT order_lines_unit_price_check CHECK (unit_price BETWEEN 0 AND 1000000000000000),
    CONSTRAINT order_lines_quantity_check CHECK (quantity BETWEEN 1 AND 1000000),
    CONSTRAINT order_lines_discount_basis_points_check CHECK (discount_basis_points BETWEEN 0 AND 10000),
    CONSTRAINT order_lines_tax_rate_basis_points_check CHECK (tax_rate_basis_points BETWEEN 0 AND 10000),
    CONSTRAINT order_lines_net_amount_check CHECK (
        2 * abs(
            net_amount::numeric * 10000
            - unit_price::numeric * (quantity - cancelled_quantity) * (10000 - discount_basis_points)
        ) < 10000
        OR (
            2 * abs(
                net_amount::numeric * 10000
                - unit_price::numeric * (quantity - cancelled_quantity) * (10000 - discount_basis_points)
            ) = 10000
            AND mod(net_amount, 2) = 0
        )
    ),
    CONSTRAINT order_lines_tax_amount_check CHECK (
        2 * abs(tax_amount::numeric * 10000 - net_amount::numeric * tax_rate_basis_points) < 10000
        OR (
            2 * abs(tax_amount::numeric * 10000 - net_amount::numeric * tax_rate_basis_points) = 10000
            AND mod(tax_amount, 2) = 0
        )
    ),
    CONSTRAINT order_lines_cancelled_quantity_check CHECK (cancelled_quantity >= 0),
    CONSTRAINT order_lines_not_too_many_shipped_check CHECK (shipped_quantity + cancelled_quantity <= quantity),
    CONSTRAINT order_lines_delivered_quantity_check CHECK (delivered_quantity BETWEEN 0 AND shipped_quantity),
    CONSTRAINT order_lines_returned_quantity_check CHECK (returned_quantity BETWEEN 0 AND delivered_quantity),
    CONSTRAINT order_lines_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders (order_id)
);

CREATE TABLE payments (
    order_id uuid NOT NULL,
    payment_id text NOT NULL,
    ordinal integer NOT NULL,
    amount bigint NOT NULL,
    method text NOT NULL,
    reference text NOT NULL,
    paid_at timestamptz NOT NULL,
    CONSTRAINT payments_pkey PRIMARY KEY (order_id, payment_id),
    CONSTRAINT payments_order_id_ordinal_key UNIQUE (order_id, ordinal),
    CONSTRAINT payments_amount_check CHECK (amount BETWEEN 1 AND 1000000000000000),
    CONSTRAINT payments_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders (order_id)
);

CREATE TABLE shipments (
    order_id uuid NOT NULL,
    shipment_id text NOT NULL,
    ordinal integer NOT NULL,
    carrier text NOT NULL,
    tracking_number text NOT NULL,
    shipped_at timestamptz NOT NULL,
    delivered_at timestamptz,
    CONSTRAINT shipments_pkey PRIMARY KEY (order_id, shipment_id),
    CONSTRAINT shipments_order_id_ordinal_key UNIQUE (order_id, ordinal),
    CONSTRAINT shipments_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders (order_id)
);

CREATE TABLE shipment_lines (
    order_id uuid NOT NULL,
    shipment_id text NOT NULL,
    line_number integer NOT NULL,
    quantity integer NOT NULL,
    CONSTRAINT shipment_lines_pkey PRIMARY KEY (order_id, shipment_id, line_number),
    CONSTRAINT shipment_lines_order_id_shipment_id_fkey FOREIGN KEY (order_id, shipment_id)
        REFERENCES shipments (order_id, shipment_id),
    CONSTRAINT shipment_lines_order_id_line_number_fkey FOREIGN KEY (order_id, line_number)
        REFERENCES order_lines (order_id, line_number),
    CONSTRAINT shipment_lines_quantity_check CHECK (quantity >= 1)
);

CREATE TABLE returns (
    order_id uuid NOT NULL,
    return_id text NOT NULL,
    ordinal integer NOT NULL,
    returned_at timestamptz NOT NULL,
    CONSTRAINT returns_pkey PRIMARY KEY (order_id, return_id),
    CONSTRAINT returns_order_id_ordinal_key UNIQUE (order_id, ordinal),
    CONSTRAINT returns_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders (order_id)
);

CREATE TABLE return_lines (
    order_id uuid NOT NULL,
    return_id text NOT NULL,
    line_number integer NOT NULL,
    quantity integer NOT NULL,
    CONSTRAINT return_lines_pkey PRIMARY KEY (order_id, return_id, line_number),
    CONSTRAINT return_lines_order_id_return_id_fkey FOREIGN KEY (order_id, return_id)
        REFERENCES returns (order_id, return_id),
    CONSTRAINT return_lines_order_id_line_number_fkey FOREIGN KEY (order_id, line_number)
        REFERENCES order_lines (order_id, line_number),
    CONSTRAINT return_lines_quantity_check CHECK (quantity >= 1)
);

CREATE TABLE refunds (
    order_id uuid NOT NULL,
    refund_id text NOT NULL,
    ordinal integer NOT NULL,
    amount bigint NOT NULL,
    reference text NOT NULL,
    refunded_at timestamptz NOT NULL,
    CONSTRAINT refunds_pkey PRIMARY KEY (order_id, refund_id),
    CONSTRAINT refunds_order_id_ordinal_key UNIQUE (order_id, ordinal),
    CONSTRAINT refunds_amount_check CHECK (amount BETWEEN 1 AND 1000000000000000),
    CONSTRAINT refunds_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders (order_id)
);

CREATE TABLE command_log (
    principal text NOT NULL,
    request_id uuid NOT NULL,
    fingerprint bytea NOT NULL,
    response bytea,
    recorded_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT command_log_pkey PRIMARY KEY (principal, request_id)
);
CREATE INDEX command_log_recorded_at_idx ON command_log (recorded_at);

CREATE TABLE outbox (
    position bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
    transaction_id xid8 DEFAULT pg_current_xact_id() NOT NULL,
    event_id uuid NOT NULL,
    aggregate_type text NOT NULL,
    aggregate_id uuid NOT NULL,
    aggregate_version bigint NOT NULL,
    partition smallint NOT NULL,
    event_type text NOT NULL,
    payload json NOT NULL,
    personal json,
    salt bytea,
    personal_digest bytea NOT NULL,
    headers json NOT NULL,
    hash bytea NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    CONSTRAINT outbox_pkey PRIMARY KEY (position),
    CONSTRAINT outbox_aggregate_version_check CHECK (aggregate_version >= 1),
    CONSTRAINT outbox_partition_check CHECK (partition BETWEEN 0 AND 63),
    CONSTRAINT outbox_hash_check CHECK (octet_length(hash) = 32 AND octet_length(personal_digest) = 32),
    CONSTRAINT outbox_personal_check CHECK ((personal IS NULL) = (salt IS NULL))
) PARTITION BY RANGE (position);
CREATE INDEX outbox_transaction_id_idx ON outbox (transaction_id);

CREATE TABLE outbox_parked (
    position bigint NOT NULL,
    aggregate_type text NOT NULL,
    aggregate_id text NOT NULL,
    aggregate_version bigint NOT NULL,
    reason text NOT NULL,
    parked_at timestamptz NOT NULL,
    CONSTRAINT outbox_parked_pkey PRIMARY KEY (position)
);

CREATE TABLE relay_state (
    stream text NOT NULL,
    stream_created_at timestamptz NOT NULL,
    publish_epoch bigint NOT NULL,
    last_sequence bigint NOT NULL,
    cursor text,
    updated_at timestamptz NOT NULL,
    CONSTRAINT relay_state_pkey PRIMARY KEY (stream)
);

-- Makes the outbox partition of the present position and `ahead` (at most 10) more, unless they exist; returns how many
-- it made. A partition is made beside the table and attached: that waits for no writer, and gives up soon instead of
-- being waited for. It runs as its owner, so that the serving role needs no right to make tables.
CREATE FUNCTION extend_outbox(ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '2s' AS $$
DECLARE
    size constant bigint := 5000000;
    newest bigint;
    name text;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('extend_outbox'));
    EXECUTE format('SELECT last_value / %s FROM %s', size, pg_get_serial_sequence('outbox', 'position')) INTO newest;
    FOR number IN newest .. newest + least(ahead, 10) LOOP
        name := 'outbox_p' || number;
        CONTINUE WHEN to_regclass(name) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE outbox INCLUDING ALL EXCLUDING IDENTITY)', name);
        EXECUTE format(
            'ALTER TABLE outbox ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
            name, number * size, (number + 1) * size
        );
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION extend_outbox(integer) SET search_path = %I, pg_temp', current_schema());
END
$$;
SELECT extend_outbox(2);

-- Which incarnation of which cluster this is. A restore or a failover with loss changes the cluster, never this row.
INSERT INTO source (epoch, system_identifier, timeline)
SELECT
    1,
    (SELECT system_identifier::text FROM pg_control_system()),
    ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer;
