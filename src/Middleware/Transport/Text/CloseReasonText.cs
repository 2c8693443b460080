using System.Text;

namespace ByteStreams;

/// <summary>The texts of close reasons in logs, metrics and traces, such as <c>closed_by_peer</c>.</summary>
public static class CloseReasonText
{
    private static readonly string[] Texts = [.. Enum.GetValues<ConnectionCloseReason>().Select(reason => SnakeCase(reason.ToString()))];

    /// <summary>The reason's text, in snake case.</summary>
    /// <param name="reason">The reason.</param>
    public static string GetText(ConnectionCloseReason reason) => Texts[(int)reason];

    /// <summary>
    /// Whether the connection was refused: it never reached its handler because of a limit, an access list or the rules for client
    /// certificates. A protocol error is not a refusal.
    /// </summary>
    /// <param name="reason">The reason.</param>
    public static bool IsRefusal(ConnectionCloseReason reason) =>
        reason is (>= ConnectionCloseReason.RefusedTotal and <= ConnectionCloseReason.RefusedUser)
            or ConnectionCloseReason.ProxyUntrusted
            or ConnectionCloseReason.TlsHandshakeLimit
            or (>= ConnectionCloseReason.TlsCertificateMissing and <= ConnectionCloseReason.TlsNameNotAllowed)
            or ConnectionCloseReason.RefusedHandlersBlocked or ConnectionCloseReason.RefusedDescriptors;

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
