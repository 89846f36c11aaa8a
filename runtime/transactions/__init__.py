"""Transactions: what was done in a block is committed together, or rolled back together."""

from millrace.runtime.transactions.blocks import atransaction, transaction
from millrace.runtime.transactions.transaction import Transaction, get_transaction

__all__ = ("Transaction", "atransaction", "get_transaction", "transaction")
