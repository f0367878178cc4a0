"""Four shapes of background work in one small shop: ETL, saga with compensation, fan-out, dead-letter handler."""
