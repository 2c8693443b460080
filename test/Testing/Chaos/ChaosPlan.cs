namespace ByteStreams.Testing;

/// <summary>Says what happens to one direction of a connection. Steps are taken one after another; behind the last one, everything is passed on as it comes.</summary>
/// <param name="connection">The connection's number, 0 for the first that the relay accepts.</param>
/// <param name="direction">The direction.</param>
/// <returns>The steps, which may be endless. Each direction enumerates its own.</returns>
/// <example>
/// Passes the first 100 bytes of every answer on and then resets the connection:
/// <code>
/// ChaosPlan plan = (connection, direction) =&gt;
///     direction == ChaosDirection.ToClient ? [new ChaosStep(100, ChaosAction.Reset)] : [];
/// </code>
/// </example>
public delegate IEnumerable<ChaosStep> ChaosPlan(int connection, ChaosDirection direction);
