"""Run by Alembic: migrate on the connection that `weir.store.migrate` hands over, within its transaction."""

from alembic import context

from weir.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
