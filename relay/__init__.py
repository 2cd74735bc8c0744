"""order-relay: takes a storefront's order webhooks at any pace and hands them to Jetti at the pace it allows."""
