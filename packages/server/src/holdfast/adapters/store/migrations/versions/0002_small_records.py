"""small records"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table('kept',
    sa.Column('tenant', sa.String(), nullable=False),
    sa.Column('environment', sa.String(), nullable=False),
    sa.Column('kind', sa.String(), nullable=False),
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('tenant', 'environment', 'kind', 'id')
    )
