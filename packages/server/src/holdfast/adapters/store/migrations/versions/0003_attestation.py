"""attestation"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table('blob',
    sa.Column('tenant', sa.String(), nullable=False),
    sa.Column('environment', sa.String(), nullable=False),
    sa.Column('digest', sa.String(), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('tenant', 'environment', 'digest')
    )
    op.create_table('attestation',
    sa.Column('tenant', sa.String(), nullable=False),
    sa.Column('environment', sa.String(), nullable=False),
    sa.Column('device', sa.String(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('tenant', 'environment', 'device', 'number')
    )
