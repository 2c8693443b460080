using System.Text;

namespace ByteStreams;

/// <summary>The texts of close reasons in logs, metrics and traces, such as <c>closed_by_peer</c>.</summary>
public static class EndReasonText
{
    private static readonly string[] Texts = [.. Enum.GetValues<ConnectionEndReason>().Select(reason => SnakeCase(reason.ToString()))];

    /// <summary>The reason's text, in snake case.</summary>
    /// <param name="reason">The reason.</param>
    public static string GetText(ConnectionEndReason reason) => Texts[(int)reason];

    /// <summary>
    /// Whether the connection was refused: it never reached its handler because of a limit, an access list or the rules for client
    /// certificates. A protocol error is not a refusal.
    /// </summary>
    /// <param name="reason">The reason.</param>
    public static bool IsRefusal(ConnectionEndReason reason) =>
        reason is (>= ConnectionEndReason.RefusedTotal and <= ConnectionEndReason.RefusedUser)
            or ConnectionEndReason.ProxyUntrusted
            or ConnectionEndReason.TlsHandshakeLimit
            or (>= ConnectionEndReason.TlsCertificateMissing and <= ConnectionEndReason.TlsNameNotAllowed)
            or ConnectionEndReason.RefusedHandlersBlocked or ConnectionEndReason.RefusedDescriptors;

    private static string SnakeCase(string name)
    {
        var text = new StringBuilder();
        foreach (char letter in name)
        {
            if (char.IsUpper(letter) && text.Length > 0)
            {
                text.Append('_');
            }

            text.Append(char.ToLowerInvariant(letter));
        }

        return text.ToString();
    }
}
