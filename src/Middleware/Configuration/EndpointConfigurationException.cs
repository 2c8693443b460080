namespace ByteStreams;

/// <summary>
/// The configuration of endpoints has errors, or their addresses cannot be bound. The exception has all errors, one line each: the
/// configuration key, the cause, the remedy.
/// </summary>
public sealed class EndpointConfigurationException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="errors">One line for each error.</param>
    public EndpointConfigurationException(IReadOnlyList<string> errors)
        : base(string.Join(Environment.NewLine, errors)) => Errors = errors;

    /// <summary>One line for each error.</summary>
    public IReadOnlyList<string> Errors { get; }
}
