-- Labels and a note of orders. With constant defaults no row is rewritten, however many orders there are.

ALTER TABLE orders
    ADD COLUMN labels jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN note text NOT NULL DEFAULT '';
