namespace ByteStreams;

/// <summary>
/// Endpoints are configured wrongly, or cannot be bound. All mistakes are in it, each a line that names the configuration key,
/// the cause and the remedy.
/// </summary>
public sealed class EndpointConfigurationException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="errors">One line for each mistake.</param>
    public EndpointConfigurationException(IReadOnlyList<string> errors)
        : base(string.Join(Environment.NewLine, errors)) => Errors = errors;

    /// <summary>One line for each mistake.</summary>
    public IReadOnlyList<string> Errors { get; }
}
